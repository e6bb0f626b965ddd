"""The launcher's loop: it runs a script of system calls until a record names no successor.

A record is eleven 8-byte words: call number, six arguments, result, the lowest and the highest result with which the loop
continues at the next record, and the address of the record at which it continues otherwise (0: return to the caller). The
code uses no stack and no memory but the records, so a child that shares both with its parent (CLONE_VM | CLONE_VFORK) may
run it.

`tools/check_syscalls.py` assembles each source and compares the bytes.
"""

from __future__ import annotations

WORDS = 11
RECORD_BYTES = 8 * WORDS
RESULT, LOWEST, HIGHEST, OTHERWISE = 7, 8, 9, 10

X86_64_SOURCE = """
    endbr64
    push %rbx
    mov  %rdi, %rbx
next:
    mov  (%rbx), %rax
    mov  8(%rbx), %rdi
    mov  16(%rbx), %rsi
    mov  24(%rbx), %rdx
    mov  32(%rbx), %r10
    mov  40(%rbx), %r8
    mov  48(%rbx), %r9
    syscall
    mov  %rax, 56(%rbx)
    cmp  64(%rbx), %rax
    jl   otherwise
    cmp  72(%rbx), %rax
    jg   otherwise
    add  $88, %rbx
    jmp  next
otherwise:
    mov  80(%rbx), %rbx
    test %rbx, %rbx
    jnz  next
    pop  %rbx
    ret
"""

AARCH64_SOURCE = """
    bti  c
    stp  x19, x30, [sp, #-16]!
    mov  x19, x0
next:
    ldr  x8, [x19]
    ldp  x0, x1, [x19, #8]
    ldp  x2, x3, [x19, #24]
    ldp  x4, x5, [x19, #40]
    svc  #0
    str  x0, [x19, #56]
    ldp  x1, x2, [x19, #64]
    cmp  x0, x1
    b.lt otherwise
    cmp  x0, x2
    b.gt otherwise
    add  x19, x19, #88
    b    next
otherwise:
    ldr  x19, [x19, #80]
    cbnz x19, next
    ldp  x19, x30, [sp], #16
    ret
"""

SOURCES = {"x86_64": X86_64_SOURCE, "aarch64": AARCH64_SOURCE}

CODE = {
    "x86_64": bytes.fromhex(
        "f30f1efa534889fb488b03488b7b08488b7310488b53184c8b53204c8b43284c8b4b300f05"
        "4889433848"
        "3b43407c0c483b43487f064883c358ebcd488b5b504885db75c45bc3"
    ),
    "aarch64": bytes.fromhex(
        "5f2403d5f37bbfa9f30300aa680240f9608640a9628e41a9649642a9010000d4601e00f9610a44a9"
        "1f0001ebab0000541f0002eb6c00005473620191f4ffff17732a40f953feffb5f37bc1a8c0035fd6"
    ),
}
