/*
 * Preloaded into the lab machine's qemu: four corrections of its emulated SVM, explained in
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
 * RDMSR of DEBUGCTL: a node's KVM reads it before each entry of its guest, and the lab machine's KVM
 * intercepts that. It holds 0 at every level here, qemu doesn't implement it, so 0 is the answer.
 *
 * Loading a saved state: cpu_post_load (target/i386/machine.c) asks of each CPU that is in a guest for
 * what the host's KVM would know of that guest, under emulation too, where there is none. It isn't
 * shown the bit that says so.
 *
 * qemu exports these symbols for its own modules.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* CPUX86State begins with the general registers. */
enum { RAX = 0, RCX = 1, RDX = 2 };
typedef uint64_t cpu_state;
typedef void vmrun_helper(cpu_state *env, int address_size, int instruction_length);
typedef void rdmsr_helper(cpu_state *env);

/* `func` is the first member of TCGHelperInfo (include/tcg/tcg.h in qemu), what translated code
 * calls. */
extern struct {
    vmrun_helper *func;
} helper_info_vmrun;
extern struct {
    rdmsr_helper *func;
} helper_info_rdmsr;
extern __thread void *current_cpu;
extern vmrun_helper helper_vmrun;
extern rdmsr_helper helper_rdmsr;
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

/* VMStateField and VMStateDescription of include/migration/vmstate.h in qemu, and in the CPU's the
 * place of env.hflags. */
typedef int post_load(void *cpu, int version);
struct field {
    const char *name;
    size_t offset, size;
    const void *others[9];
};
extern struct {
    const char *name;
    bool unmigratable, early_setup;
    int version_id, minimum_version_id, priority;
    const void *pre_load, *pre_load_errp;
    post_load *post_load;
    const void *others[6];
    const struct field *fields;
} vmstate_x86_cpu;
enum { HFLAGS = 3 };
#define IN_A_GUEST (1u << 21) /* HF_GUEST_MASK of target/i386/cpu.h in qemu */
static post_load *cpu_post_load;

/* AMD64 Architecture Programmer's Manual, volume 3, Fn8000_000A_EDX. */
#define SVM_LEAF 0x8000000au
#define OFFERED 0x10010001u /* NPT, VGIF, SVME_ADDR_CHK */
#define VIRTUAL_VMLOAD_VMSAVE (1u << 15)
#define DEBUGCTL 0x1d9u /* volume 2, "Debug-Control MSR" */

static void unfit(const char *what)
{
    fprintf(stderr, "svm.so: this qemu %s; see labmachine/svm.c\n", what);
    exit(1);
}

static void vmrun_then_leave(cpu_state *env, int address_size, int instruction_length)
{
    helper_vmrun(env, address_size, instruction_length);
    cpu_loop_exit_noexc(current_cpu);
}

static void rdmsr(cpu_state *env)
{
    if ((uint32_t)env[RCX] == DEBUGCTL)
        env[RAX] = env[RDX] = 0;
    else
        helper_rdmsr(env); /* a tail call: it finds the instruction by its return address */
}

static int post_load_as_no_guest(void *cpu, int version)
{
    uint32_t *hflags = (void *)((char *)cpu + vmstate_x86_cpu.fields[HFLAGS].offset);
    uint32_t in_a_guest = *hflags & IN_A_GUEST;

    *hflags &= ~IN_A_GUEST;
    int result = cpu_post_load(cpu, version);
    *hflags |= in_a_guest;
    return result;
}

/* The description is constant: the loader has made its pages read-only. */
static void take_over_post_load(void)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t start = (uintptr_t)&vmstate_x86_cpu.post_load & ~(page - 1);

    if (mprotect((void *)start, page, PROT_READ | PROT_WRITE))
        unfit("keeps what loads a saved CPU to itself");
    cpu_post_load = vmstate_x86_cpu.post_load;
    vmstate_x86_cpu.post_load = post_load_as_no_guest;
    mprotect((void *)start, page, PROT_READ);
}

__attribute__((constructor)) static void correct(void)
{
    if (helper_info_vmrun.func != helper_vmrun)
        unfit("calls VMRUN's helper in another way");
    helper_info_vmrun.func = vmrun_then_leave;
    if (helper_info_rdmsr.func != helper_rdmsr)
        unfit("calls RDMSR's helper in another way");
    helper_info_rdmsr.func = rdmsr;
    if (feature_word_info[FEAT_SVM].cpuid.eax != SVM_LEAF ||
        feature_word_info[FEAT_SVM].cpuid.reg != EDX ||
        feature_word_info[FEAT_SVM].tcg_features != OFFERED)
        unfit("offers other SVM features");
    feature_word_info[FEAT_SVM].tcg_features |= VIRTUAL_VMLOAD_VMSAVE;
    const struct field *hflags = &vmstate_x86_cpu.fields[HFLAGS];
    if (strcmp(vmstate_x86_cpu.name, "cpu") || vmstate_x86_cpu.version_id != 12 ||
        strcmp(hflags->name, "env.hflags") || hflags->size != sizeof(uint32_t) ||
        !vmstate_x86_cpu.post_load)
        unfit("saves a CPU in another way");
    take_over_post_load();
}
