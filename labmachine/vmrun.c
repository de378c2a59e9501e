/*
 * Preloaded into the lab machine's qemu: ends the translated block after each emulated VMRUN.
 *
 * Owns one correction, explained in docs/decisions/0003-qemu-from-backports.md: helper_vmrun
 * leaves the vector that it injected in the CPU's exception_index. If the CPU is then kicked
 * without an interrupt to take, its loop takes the rest for an exception of the guest and
 * delivers the vector a second time, whether the guest allows interrupts or not.
 * cpu_loop_exit_noexc clears the index and goes on with the guest.
 *
 * qemu exports these symbols for its own modules; `func` is the first member of TCGHelperInfo
 * (include/tcg/tcg.h in qemu), the address that translated code calls.
 */
#include <stdio.h>
#include <stdlib.h>

typedef void vmrun_helper(void *env, int address_size, int instruction_length);

extern struct {
    vmrun_helper *func;
} helper_info_vmrun;
extern __thread void *current_cpu;
extern void helper_vmrun(void *env, int address_size, int instruction_length);
extern void cpu_loop_exit_noexc(void *cpu) __attribute__((noreturn));

static void vmrun_then_leave(void *env, int address_size, int instruction_length)
{
    helper_vmrun(env, address_size, instruction_length);
    cpu_loop_exit_noexc(current_cpu);
}

__attribute__((constructor)) static void correct_vmrun(void)
{
    if (helper_info_vmrun.func != helper_vmrun) {
        fputs("vmrun.so: this qemu calls VMRUN's helper in another way\n", stderr);
        exit(1);
    }
    helper_info_vmrun.func = vmrun_then_leave;
}
