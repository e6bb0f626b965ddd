"""The guardian in sh, for programs without a Python interpreter to start.

It speaks the protocol of `_core/guardian.py` (but for `new`, whose pid is binary), relies on end-of-file alone, and knows no
descendants outside the groups that were registered.
"""

from __future__ import annotations

import sys

if sys.platform != "linux":
    raise ImportError("this room is for Linux")

SCRIPT = r"""
# $1: the directory of the owner's cgroups, or empty. Standard input: the owner's messages.
trap '' INT TERM HUP QUIT

# We were started in the directory above: its path may lead elsewhere by now.
home=${1##*/}

# We are up.
echo up 2>/dev/null
exec >/dev/null

# What dies with the owner, each word NUMBER:START. A process group has its number alone, a single process a + before it.
kept=

# keep WORD, forget NUMBER
keep() {
    kept="$kept $1"
}
forget() {
    left=
    for word in $kept; do
        [ "${word%%:*}" = "$1" ] || left="$left $word"
    done
    kept=$left
}

# The start time of process $1, field 22 of its stat; nothing if there is no such process. The name may hold blanks: it ends at ).
start_of() {
    [ -r "/proc/$1/stat" ] || return
    read -r line <"/proc/$1/stat"
    line=${line##*) }
    set -- $line
    shift 19
    echo "$1"
}

# Until end-of-file: the owner lives.
while read -r verb number start; do
    case $verb in
    group) keep "$number:$start" ;;
    process) keep "+$number:$start" ;;
    drop) forget "$number" ;;
    leave) forget "+$number" ;;
    esac
done

for word in $kept; do
    number=${word%%:*}
    start=${word#*:}
    now=$(start_of "${number#+}")
    case $number in
    +*)
        # A single process: only if it is certainly the one that was meant.
        [ "$now" != "$start" ] || kill -s KILL -- "${number#+}" 2>/dev/null
        ;;
    *)
        # A group keeps its number while a member lives, with or without its leader; a leader with another start is another group.
        if [ -z "$now" ] || [ "$start" = 0 ] || [ "$now" = "$start" ]; then
            kill -s KILL -- "-$number" 2>/dev/null
        fi
        ;;
    esac
done

# The cgroups: kill, remove, again until the directory is gone; before Linux 5.14 there is no cgroup.kill, and none reaches a
# process whose first thread has ended.
if [ -n "$1" ]; then
    for try in 1 2 3 4 5 6 7 8 9 10; do
        [ -d "$home" ] || break
        if ! echo 1 2>/dev/null >"$home/cgroup.kill" || [ "$try" -gt 1 ]; then
            for number in $(find "$home" -name cgroup.procs -exec cat {} +); do
                kill -s KILL "$number"
            done
        fi
        find "$home" -depth -type d -exec rmdir {} + 2>/dev/null
        [ -d "$home" ] || break
        sleep 0.1 2>/dev/null || sleep 1
    done
fi
"""


def squeezed() -> str:
    """The script without comments and indentation, as ps shows it among the guardian's arguments."""
    lines = [line.strip() for line in SCRIPT.splitlines()]
    return "\n".join(line for line in lines if line and not line.startswith("#"))
