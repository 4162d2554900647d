// A program for arm64 that needs nothing else: `work FILE TEXT [PROGRAM ARGUMENT...]` writes a text to a file, gives that
// to user 7 and group 8, and then waits for a child that becomes the program. It ends with 1 if anything fails.
//
// llvm-mc -triple=aarch64 -filetype=obj -o work.o work.s && llvm-objcopy -O binary work.o work && chmod +x work

        .set    BASE, 0x400000
        .set    openat, 56
        .set    write, 64
        .set    fchown, 55
        .set    clone, 220
        .set    execve, 221
        .set    wait4, 260
        .set    exit, 93

start:
        // The header: 64 bits, little endian, executable, EM_AARCH64, one program header.
        .ascii  "\177ELF"
        .byte   2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0
        .hword  2, 183
        .word   1
        .xword  BASE + (_start - start), 64, 0
        .word   0
        .hword  64, 56, 1, 64, 0, 0
        // All of the file, to be read and executed.
        .word   1, 5
        .xword  0, BASE, BASE, end - start, end - start, 4096

_start: ldr     x19, [sp]               // number of arguments
        add     x20, sp, #8             // arguments
        add     x21, x20, x19, lsl #3
        add     x21, x21, #8            // environment
        cmp     x19, #3
        b.lo    failed

        mov     x0, #-100               // AT_FDCWD
        ldr     x1, [x20, #8]
        mov     x2, #0x241              // O_WRONLY | O_CREAT | O_TRUNC
        mov     x3, #0640
        mov     x8, #openat
        svc     #0
        tbnz    x0, #63, failed
        mov     x22, x0

        ldr     x1, [x20, #16]
        mov     x2, #0
length: ldrb    w3, [x1, x2]
        cbz     w3, known
        add     x2, x2, #1
        b       length
known:  mov     x8, #write
        svc     #0
        cmp     x0, x2
        b.ne    failed

        mov     x0, x22
        mov     x1, #7
        mov     x2, #8
        mov     x8, #fchown
        svc     #0
        cbnz    x0, failed

        cmp     x19, #3
        b.eq    done
        mov     x0, #17                 // SIGCHLD
        mov     x1, #0
        mov     x2, #0
        mov     x3, #0
        mov     x4, #0
        mov     x8, #clone
        svc     #0
        tbnz    x0, #63, failed
        cbz     x0, child

        mov     x0, #-1
        sub     x1, sp, #16             // status
        str     xzr, [x1]
        mov     x2, #0
        mov     x3, #0
        mov     x8, #wait4
        svc     #0
        ldr     w0, [sp, #-16]
        cbnz    w0, failed
done:   mov     x0, #0
        b       over
child:  ldr     x0, [x20, #24]
        add     x1, x20, #24
        mov     x2, x21
        mov     x8, #execve
        svc     #0
failed: mov     x0, #1
over:   mov     x8, #exit
        svc     #0
end:
