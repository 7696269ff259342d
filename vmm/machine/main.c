/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox-vmm: one virtual machine, from its command line to its end. Nothing is decided here; this file is the order in
 * which things are done.
 *
 * Theory of operation. Everything is built single-threaded: jail_begin, jail_build_root, share roots, machine, devices,
 * kernel; then jail_restrict; then the threads (vCPUs wait at a gate, loops run), then jail_seal around all of them, and
 * only then does the guest run. The main thread waits for the vCPUs; the `devices` loop takes SIGTERM and the
 * supervisor's end. Loops are stopped after the vCPU threads have ended, never before (virtio/mmio.h).
 *
 * The end's reason: the machine's own, but a reboot or triple fault after a panic on the console is a panic.
 */
#include <errno.h>
#include <linux/prctl.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "vmm/base/array.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/event.h"
#include "vmm/base/log.h"
#include "vmm/base/loop.h"
#include "vmm/devices/device_table.h"
#include "vmm/jail/jail.h"
#include "vmm/jail/seccomp_table.h"
#include "vmm/machine/machine.h"
#include "vmm/machine/measure.h"
#include "vmm/machine/panic_watch.h"
#include "vmm/machine/vmm_options.h"
#include "vmm/machine/vmm_shares.h"

#define PANIC_GRACE_MS	   2000 /* for a kernel that stays where it is after a panic (panic=0) */
#define MEASURE_WATCHDOG_S 10

#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE 67
#endif

enum { EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_KVM_UNFIT = 4 };

struct vmm {
	struct vmm_options options;
	uint64_t began_ns;
	struct jail_plan plan;
	struct vmm_shares shares;
	bool kept_apart; /* keep_apart() */
	uint32_t layers;

	struct machine *machine;
	struct devices *devices;

	/* Of the `devices` thread, until it has ended. */
	struct loop *loop;
	struct panic_watch watch;
	struct loop_source *panic_timer, *signal_source, *lifeline_source;
	int signal_fd;

	pthread_mutex_t event_lock; /* guards event_sequence, and the order of records */
	uint32_t event_sequence;
};

static void tell(struct vmm *vmm, enum event_kind kind, const uint64_t *values, unsigned int count)
{
	if (vmm->options.event_fd < 0)
		return;
	pthread_mutex_lock(&vmm->event_lock);
	event_send(vmm->options.event_fd, &vmm->event_sequence, (uint16_t)kind, values, count);
	pthread_mutex_unlock(&vmm->event_lock);
}

/* -- what devices tell */

static void on_console(void *data, const void *bytes, size_t len)
{
	struct vmm *vmm = data;

	if (panic_watch_feed(&vmm->watch, bytes, len))
		loop_timer_set(vmm->panic_timer, PANIC_GRACE_MS);
}

static void on_panic_grace(void *data)
{
	struct vmm *vmm = data;

	machine_request_end(vmm->machine, MACHINE_END_PANIC);
}

static void on_share_loss(void *data, unsigned int share, uint64_t kept_in_memory)
{
	const uint64_t values[] = { share, kept_in_memory };

	tell(data, EVENT_VMM_SHARE_LOSS, values, ARRAY_SIZE(values));
}

static void on_share_refusal(
	void *data, unsigned int share, uint64_t count, uint64_t device, uint64_t inode)
{
	const uint64_t values[] = { share, count, device, inode };

	tell(data, EVENT_VMM_SHARE_REFUSED, values, ARRAY_SIZE(values));
}

static void on_fault(void *data, unsigned int device, uint64_t faults)
{
	const uint64_t values[] = { device, faults };

	tell(data, EVENT_VMM_DEVICE_FAULT, values, ARRAY_SIZE(values));
}

/* -- what ends the machine from outside */

static void on_signal(void *data, uint32_t events)
{
	struct vmm *vmm = data;

	(void)events;
	machine_request_end(vmm->machine, MACHINE_END_STOPPED);
	loop_remove(TAKE_PTR(vmm->signal_source));
}

static void on_lifeline(void *data, uint32_t events)
{
	struct vmm *vmm = data;

	(void)events;
	machine_request_end(vmm->machine, MACHINE_END_STOPPED);
	loop_remove(TAKE_PTR(vmm->lifeline_source));
}

/* Signals are blocked in every thread and read here. (As pid 1 of a namespace an unblocked one would be dropped.) */
static int take_signals(struct vmm *vmm, struct err *err)
{
	sigset_t set;
	int r;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	vmm->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (vmm->signal_fd < 0)
		return err_set(err, -errno, "signals: %m");
	r = loop_add_fd(vmm->loop, vmm->signal_fd, EPOLLIN, on_signal, vmm, &vmm->signal_source);
	return r < 0 ? err_set(err, r, "signals: %s", strerror(-r)) : 0;
}

static int watch_outside(struct vmm *vmm, struct err *err)
{
	int r = take_signals(vmm, err);

	if (r < 0)
		return r;
	r = loop_add_timer(vmm->loop, on_panic_grace, vmm, &vmm->panic_timer);
	if (r == 0 && vmm->options.lifeline_fd >= 0)
		r = loop_add_fd(vmm->loop, vmm->options.lifeline_fd, 0, on_lifeline, vmm,
			&vmm->lifeline_source);
	return r < 0 ? err_set(err, r, "loop: %s", strerror(-r)) : 0;
}

/* -- isolation */

/*
 * V11: pages are not merged, and no thread of another sandbox shares a core with ours. The second needs SMT and a kernel
 * with core scheduling; without SMT there is nothing to share. `status` shows whether it is in force, `doctor` what the
 * host has. True: in force.
 */
static bool keep_apart(void)
{
	prctl(PR_SET_MEMORY_MERGE, 0, 0, 0, 0);
	if (prctl(PR_SCHED_CORE, PR_SCHED_CORE_CREATE, 0, PR_SCHED_CORE_SCOPE_THREAD_GROUP, 0) == 0)
		return true;
	log_debug("no core scheduling: %s", strerror(errno));
	return false;
}

static int leave_the_host(struct vmm *vmm, struct err *err)
{
	bool jailed = !vmm->options.unjailed;
	int r = 0;

	vmm_shares_plan(&vmm->options, &vmm->shares);
	vmm->plan = (struct jail_plan){
		.process = "sandbox-vmm",
		.lifeline_fd = vmm->options.lifeline_fd,
		.binds = vmm->shares.binds,
		.bind_count = vmm->options.share_count,
		.proc_fd = vmm->options.share_count > 0,
	};
	if (jailed)
		r = jail_begin(&vmm->plan, err);
	if (r == 0 && jailed)
		r = jail_build_root(&vmm->plan, err);
	return r < 0 ? r : vmm_shares_open(&vmm->options, jailed, &vmm->shares, err);
}

static int restrict_process(struct vmm *vmm, struct err *err)
{
	return vmm->options.unjailed ? 0 : jail_restrict(&vmm->plan, &vmm->layers, err);
}

static int seal_process(struct vmm *vmm, struct err *err)
{
	uint64_t told[2];
	int r;

	if (vmm->options.unjailed)
		return 0;
	r = jail_seal(&vmm->plan, &seccomp_vmm, &vmm->layers, err);
	if (r < 0)
		return r;
	told[0] = vmm->layers;
	told[1] = vmm->kept_apart;
	tell(vmm, EVENT_VMM_ISOLATED, told, ARRAY_SIZE(told));
	return 0;
}

static int on_vcpu_thread(void *data, struct err *err)
{
	struct vmm *vmm = data;

	return vmm->options.unjailed ? 0 : jail_seal_thread(&vmm->plan, &seccomp_vmm_vcpu, err);
}

/* -- building */

static int create_machine(struct vmm *vmm, struct err *err)
{
	const struct machine_config config = {
		.kvm_fd = vmm->options.kvm_fd,
		.vcpus = vmm->options.cpus,
		.memory_bytes = vmm->options.memory_mib << 20,
		.nested = vmm->options.nested,
		.on_vcpu_thread = on_vcpu_thread,
		.data = vmm,
	};

	return machine_create(&config, &vmm->machine, err);
}

static int create_devices(struct vmm *vmm, struct err *err)
{
	const struct vmm_options *options = &vmm->options;
	struct devices_disk disks[VMM_DISKS_MAX];
	const struct devices_config config = {
		.machine = vmm->machine,
		.loop = vmm->loop,
		.console_fd = options->console_fd >= 0 ? options->console_fd : STDOUT_FILENO,
		.vsock_fd = options->vsock_fd,
		.guest_cid = options->guest_cid,
		.disks = disks,
		.disk_count = options->disk_count,
		.shares = vmm->shares.shares,
		.share_count = options->share_count,
		.on_fault = on_fault,
		.on_share_loss = on_share_loss,
		.on_share_refusal = on_share_refusal,
		.on_console = on_console,
		.data = vmm,
	};

	for (size_t i = 0; i < options->disk_count; i++)
		disks[i] = (struct devices_disk){
			.id = options->disks[i].id,
			.fd = options->disks[i].fd,
			.read_only = options->disks[i].readonly,
		};
	return devices_create(&config, &vmm->devices, err);
}

static int load_kernel(struct vmm *vmm, struct err *err)
{
	const struct machine_boot boot = {
		.kernel_fd = vmm->options.kernel_fd,
		.initramfs_fd = vmm->options.initramfs_fd,
		.cmdline = vmm->options.cmdline,
		.cmdline_devices = vmm->options.cmdline_devices,
	};

	return machine_load(vmm->machine, &boot, err);
}

/*
 * Tables of devices and shares are large, and used at a few places: in huge pages, as a kernel with THP "always" would
 * give, they cost megabytes. So all of them lie in the heap, which huge pages are kept away from; guest RAM asks for its
 * own. (PR_SET_THP_DISABLE for good would take them from guest RAM too.)
 */
static void tables_begin(void)
{
	mallopt(M_MMAP_MAX, 0);
	mallopt(M_ARENA_MAX, 1);
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
}

static void tables_end(const void *heap)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t begin = ((uintptr_t)heap + page - 1) & ~(page - 1);
	uintptr_t end = (uintptr_t)sbrk(0);

	if (end > begin)
		madvise((void *)begin, end - begin, MADV_NOHUGEPAGE);
	prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0);
}

static int build(struct vmm *vmm, struct err *err)
{
	const void *heap = sbrk(0);
	int r;

	tables_begin();
	r = loop_create(&vmm->loop);
	if (r < 0)
		return err_set(err, r, "loop: %s", strerror(-r));
	r = watch_outside(vmm, err);
	if (r == 0)
		r = leave_the_host(vmm, err);
	if (r == 0)
		r = create_machine(vmm, err);
	if (r == 0)
		r = create_devices(vmm, err);
	tables_end(heap);
	if (r == 0)
		r = load_kernel(vmm, err);
	return r;
}

/* -- running */

static int start(struct vmm *vmm, struct err *err)
{
	int r = restrict_process(vmm, err);

	if (r == 0)
		r = machine_start(vmm->machine, err);
	if (r == 0)
		r = devices_start(vmm->devices, err);
	if (r == 0)
		r = seal_process(vmm, err);
	return r;
}

static enum machine_end wait_for_end(struct vmm *vmm)
{
	enum machine_end end = machine_join(vmm->machine);

	devices_stop(vmm->devices);
	if (vmm->watch.seen && (end == MACHINE_END_REBOOT || end == MACHINE_END_TRIPLE_FAULT))
		end = MACHINE_END_PANIC;
	return end;
}

static const char *end_text(enum machine_end end)
{
	switch (end) {
	case MACHINE_END_NONE:
		return "not ended";
	case MACHINE_END_POWEROFF:
		return "powered off";
	case MACHINE_END_REBOOT:
		return "asked for a reboot";
	case MACHINE_END_PANIC:
		return "kernel panic";
	case MACHINE_END_TRIPLE_FAULT:
		return "triple fault";
	case MACHINE_END_KVM_ERROR:
		return "KVM failed";
	case MACHINE_END_STOPPED:
		return "stopped";
	case MACHINE_END_DEVICE:
		return "a device failed";
	}
	return "?";
}

static void report_end(struct vmm *vmm, enum machine_end end)
{
	struct machine_counters counters;
	uint64_t values[4];

	machine_read_counters(vmm->machine, &counters);
	values[0] = end;
	values[1] = counters.exit_ns;
	values[2] = counters.exits;
	values[3] = vmm->options.memory_mib << 20;
	tell(vmm, EVENT_VMM_ENDED, values, ARRAY_SIZE(values));
	if (vmm->options.event_fd < 0)
		log_info("%s: %s; exec to first run %llu us, %llu exits, %llu us in them",
			vmm->options.name, end_text(end),
			(unsigned long long)(counters.first_run_ns - vmm->began_ns) / 1000,
			(unsigned long long)counters.exits,
			(unsigned long long)counters.exit_ns / 1000);
}

static int run(struct vmm *vmm, enum machine_end *ret_end, struct err *err)
{
	uint64_t took_ns;
	int r = build(vmm, err);

	if (r == 0)
		r = start(vmm, err);
	if (r < 0)
		return r;
	took_ns = clock_monotonic_ns() - vmm->began_ns;
	tell(vmm, EVENT_VMM_RUNNING, &took_ns, 1);
	machine_run(vmm->machine);
	*ret_end = wait_for_end(vmm);
	report_end(vmm, *ret_end);
	return 0;
}

/* -- measuring */

static void on_watchdog(int signal)
{
	static const char line[] = "kvm=emulated ring0=0 ring3=0 cmpxchg16b=no\n";

	(void)signal;
	if (write(STDOUT_FILENO, line, sizeof(line) - 1) < 0)
		_exit(EXIT_FAILED);
	_exit(EXIT_KVM_UNFIT);
}

static int measure(void)
{
	static const char *const words[] = {
		[MEASURE_FIT] = "fit",
		[MEASURE_EMULATED] = "emulated",
		[MEASURE_ABSENT] = "absent",
		[MEASURE_NO_PERMISSION] = "no-permission",
	};
	struct measure_result result;
	struct err err = {};

	signal(SIGALRM, on_watchdog);
	alarm(MEASURE_WATCHDOG_S);
	measure_kvm("/dev/kvm", &result, &err);
	printf("kvm=%s ring0=%llu ring3=%llu cmpxchg16b=%s\n", words[result.verdict],
		(unsigned long long)result.ring0_per_s, (unsigned long long)result.ring3_per_s,
		result.cmpxchg16b ? "yes" : "no");
	if (result.verdict == MEASURE_FIT)
		return 0;
	log_info("%s", err.text);
	return EXIT_KVM_UNFIT;
}

int main(int argc, char **argv)
{
	static struct vmm vmm = {
		.signal_fd = -1,
		.event_lock = PTHREAD_MUTEX_INITIALIZER,
	};
	enum machine_end end;
	struct err err = {};
	uint64_t code;

	vmm.began_ns = clock_monotonic_ns();
	log_set_process("sandbox-vmm");
	if (vmm_options_parse(argc, argv, &vmm.options, &err) < 0) {
		log_error("%s", err.text);
		return EXIT_USAGE;
	}
	if (vmm.options.help) {
		vmm_options_print_help();
		return 0;
	}
	if (vmm.options.measure_kvm)
		return measure();
	vmm.kept_apart = keep_apart();
	if (run(&vmm, &end, &err) == 0)
		return vmm.options.event_fd < 0 ? 0 : machine_end_exit_code(end);
	code = (uint64_t)-err.code;
	log_error("%s: %s", vmm.options.name, err.text);
	if (err.next_step[0])
		log_error(JAIL_FIX_MARK "%s", err.next_step);
	tell(&vmm, EVENT_VMM_FAILED, &code, 1);
	return EXIT_FAILED;
}
