/*
 * Preloaded into the lab machine's qemu: two corrections of its emulated SVM, explained in
 * docs/decisions/0003-qemu-from-backports.md. Each refuses to start with a qemu it doesn't fit.
 *
 * VMRUN: helper_vmrun leaves the vector that it injected in the CPU's exception_index. If the CPU
 * is then kicked without an interrupt to take, its loop takes the rest for an exception of the
 * guest and delivers the vector a second time, whether the guest allows interrupts or not.
 * cpu_loop_exit_noexc clears the index, ends the translated block and goes on with the guest.
 *
 * VMLOAD and VMSAVE: qemu implements their virtualisation (virtual_vm_load_save_enabled in
 * svm_helper.c) but doesn't offer it in CPUID. A node that runs a guest executes three of them for
 * each of the guest's exits, and without it each is an exit of the node.
 *
 * qemu exports these symbols for its own modules.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef void vmrun_helper(void *env, int address_size, int instruction_length);

/* `func` is the first member of TCGHelperInfo (include/tcg/tcg.h in qemu), what translated code
 * calls. */
extern struct {
    vmrun_helper *func;
} helper_info_vmrun;
extern __thread void *current_cpu;
extern void helper_vmrun(void *env, int address_size, int instruction_length);
extern void cpu_loop_exit_noexc(void *cpu) __attribute__((noreturn));

/* FeatureWordInfo and the index FEAT_SVM of target/i386/cpu.h in qemu. */
enum { FEAT_SVM = 18, EDX = 2 };
extern struct {
    int type;
    const char *names[64];
    struct {
        uint32_t eax;
        bool needs_ecx;
        uint32_t ecx;
        int reg;
    } cpuid;
    uint64_t tcg_features, unmigratable, migratable, not_by_default;
} feature_word_info[];

/* AMD64 Architecture Programmer's Manual, volume 3, Fn8000_000A_EDX. */
#define SVM_LEAF 0x8000000au
#define OFFERED 0x10010001u /* NPT, VGIF, SVME_ADDR_CHK */
#define VIRTUAL_VMLOAD_VMSAVE (1u << 15)

static void unfit(const char *what)
{
    fprintf(stderr, "svm.so: this qemu %s; see labmachine/svm.c\n", what);
    exit(1);
}

static void vmrun_then_leave(void *env, int address_size, int instruction_length)
{
    helper_vmrun(env, address_size, instruction_length);
    cpu_loop_exit_noexc(current_cpu);
}

__attribute__((constructor)) static void correct(void)
{
    if (helper_info_vmrun.func != helper_vmrun)
        unfit("calls VMRUN's helper in another way");
    helper_info_vmrun.func = vmrun_then_leave;
    if (feature_word_info[FEAT_SVM].cpuid.eax != SVM_LEAF ||
        feature_word_info[FEAT_SVM].cpuid.reg != EDX ||
        feature_word_info[FEAT_SVM].tcg_features != OFFERED)
        unfit("offers other SVM features");
    feature_word_info[FEAT_SVM].tcg_features |= VIRTUAL_VMLOAD_VMSAVE;
}
