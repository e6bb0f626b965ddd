"""The guardian in sh, for programs without a Python interpreter to start.

It speaks the protocol of `_core/guardian.py` (but for `new`, whose pid is binary), relies on end-of-file alone, and sweeps once.
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

# stat_of PID: set parent, group and begun to fields 4, 5 and 22 of its stat; false if there is no such process. Its name may hold
# blanks and line ends: it ends at the last ).
stat_of() {
    line=
    while read -r part; do line="$line $part"; done 2>/dev/null <"/proc/$1/stat"
    line=${line##*) }
    set -- $line
    [ "$#" -ge 20 ] || return 1
    parent=$2
    group=$3
    shift 19
    begun=$1
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

# Who is to end: these groups, these processes, and all that descend from one.
groups=" "
found=" "
for word in $kept; do
    number=${word%%:*}
    start=${word#*:}
    case $number in
    +*)
        # A single process: only if it is certainly the one that was meant.
        number=${number#+}
        if stat_of "$number" 2>/dev/null && [ "$begun" = "$start" ]; then
            found="$found$number "
            kill -s STOP "$number" 2>/dev/null
        fi
        ;;
    *)
        # A group keeps its number while a member lives, with or without its leader; a leader with another start is another group.
        if [ "$start" = 0 ] || ! stat_of "$number" 2>/dev/null || [ "$begun" = "$start" ]; then
            groups="$groups$number "
        fi
        ;;
    esac
done

# Who is stopped has no more children, and nobody loses the parent that leads to him; again until nobody new is found.
fresh=${kept:+yes}
while [ -n "$fresh" ]; do
    fresh=
    for place in /proc/[0-9]*; do
        number=${place#/proc/}
        case $found in *" $number "*) continue ;; esac
        stat_of "$number" 2>/dev/null || continue
        case $groups in
        *" $group "*) ;;
        *) case $found in *" $parent "*) ;; *) continue ;; esac ;;
        esac
        found="$found$number "
        kill -s STOP "$number" 2>/dev/null
        fresh=yes
    done
done
for number in $found; do
    kill -s KILL "$number" 2>/dev/null
done
for number in $groups; do
    kill -s KILL -- "-$number" 2>/dev/null
done

# The cgroups: kill, remove, again until the directory is gone; before Linux 5.14 there is no cgroup.kill, and none reaches a
# process whose first thread has ended.
if [ -n "$1" ]; then
    for try in 1 2 3 4 5 6 7 8 9 10; do
        [ -d "$home" ] || break
        if ! echo 1 2>/dev/null >"$home/cgroup.kill" || [ "$try" -gt 1 ]; then
            for number in $(find "$home" -name cgroup.procs -exec cat {} +); do
                # 0 is one whose pid namespace we do not see.
                [ "$number" = 0 ] || kill -s KILL "$number"
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
