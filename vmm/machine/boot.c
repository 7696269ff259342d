/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/machine/boot.h"

#include <assert.h>
#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/array.h"
#include "vmm/base/bytes.h"
#include "vmm/base/checked.h"
#include "vmm/base/fdio.h"
#include "vmm/machine/machine.h"

#define PAGE		  4096ull
#define LOW_RAM_END	  0x9fc00ull /* where a PC's EBDA begins; the kernel expects to leave it alone */
#define HIGH_RAM_BEGIN	  0x100000ull
#define INITRAMFS_GPA_MAX 0x7fffffffull /* initrd_addr_max of every x86-64 kernel so far */

/* struct boot_params, by offset (Documentation/arch/x86/zero-page.rst, boot.rst) */
#define BP_ACPI_RSDP_ADDR   0x070
#define BP_E820_ENTRIES	    0x1e8
#define BP_BOOT_FLAG	    0x1fe
#define BP_HEADER	    0x202
#define BP_VERSION	    0x206
#define BP_TYPE_OF_LOADER   0x210
#define BP_LOADFLAGS	    0x211
#define BP_RAMDISK_IMAGE    0x218
#define BP_RAMDISK_SIZE	    0x21c
#define BP_CMD_LINE_PTR	    0x228
#define BP_INITRD_ADDR_MAX  0x22c
#define BP_KERNEL_ALIGNMENT 0x230
#define BP_CMDLINE_SIZE	    0x238
#define BP_SETUP_DATA	    0x250
#define BP_E820_TABLE	    0x2d0
#define E820_ENTRY_SIZE	    20
#define E820_RAM	    1
#define E820_RESERVED	    2

#define SETUP_RNG_SEED	9
#define SETUP_DATA_HEAD 16 /* next, type, length */

#define PTE_PRESENT  0x01
#define PTE_WRITABLE 0x02
#define PTE_HUGE     0x80
#define PTES	     512
#define HUGE_PAGE    (2ull << 20)

static_assert(BP_E820_TABLE + (GUEST_MEMORY_REGIONS_MAX + 2) * E820_ENTRY_SIZE <= BOOT_PARAMS_SIZE,
	"the memory map fits");

/* The ELF header's fields that decide what the file is. */
static int check_elf_header(const Elf64_Ehdr *e, struct err *err)
{
	if (memcmp(e->e_ident, ELFMAG, SELFMAG) != 0)
		return err_set(err, -ENOEXEC, "kernel: not an ELF file");
	if (e->e_ident[EI_CLASS] != ELFCLASS64 || e->e_ident[EI_DATA] != ELFDATA2LSB ||
		e->e_machine != EM_X86_64)
		return err_set(err, -ENOEXEC, "kernel: not for 64-bit x86");
	if (e->e_type != ET_EXEC || e->e_phentsize != sizeof(Elf64_Phdr))
		return err_set(err, -ENOEXEC, "kernel: not an executable vmlinux");
	return 0;
}

static int add_segment(
	struct elf_image *image, const Elf64_Phdr *p, uint64_t file_size, struct err *err)
{
	uint64_t end;

	if (image->segment_count == ELF_SEGMENTS_MAX)
		return err_set(err, -ENOEXEC, "kernel: more than %d segments", ELF_SEGMENTS_MAX);
	if (p->p_filesz > p->p_memsz || !range_fits(p->p_offset, p->p_filesz, file_size))
		return err_set(err, -ENOEXEC, "kernel: a segment reaches beyond the file's end");
	if (p->p_paddr < ELF_GPA_MIN || !checked_add(p->p_paddr, p->p_memsz, &end) ||
		end > ELF_GPA_MAX)
		return err_set(
			err, -ENOEXEC, "kernel: a segment wants to lie outside of 1 MiB to 1 GiB");
	for (unsigned int i = 0; i < image->segment_count; i++) {
		const struct elf_segment *other = &image->segments[i];

		if (p->p_paddr < other->gpa + other->memory_bytes && other->gpa < end)
			return err_set(err, -ENOEXEC, "kernel: two segments overlap");
	}
	image->segments[image->segment_count++] = (struct elf_segment){
		.file_offset = p->p_offset,
		.file_bytes = p->p_filesz,
		.gpa = p->p_paddr,
		.memory_bytes = p->p_memsz,
	};
	image->end_gpa = MAX(image->end_gpa, end);
	return 0;
}

static bool entry_is_inside(const struct elf_image *image)
{
	for (unsigned int i = 0; i < image->segment_count; i++) {
		const struct elf_segment *s = &image->segments[i];

		if (image->entry_gpa >= s->gpa && image->entry_gpa - s->gpa < s->file_bytes)
			return true;
	}
	return false;
}

int elf_parse(const void *head, size_t head_size, uint64_t file_size, struct elf_image *ret,
	struct err *err)
{
	struct elf_image image = {};
	Elf64_Ehdr e;
	int r;

	if (head_size < sizeof(e))
		return err_set(err, -ENOEXEC, "kernel: too short for an ELF file");
	memcpy(&e, head, sizeof(e));
	r = check_elf_header(&e, err);
	if (r < 0)
		return r;
	if (!range_fits(e.e_phoff, e.e_phnum * sizeof(Elf64_Phdr),
		    MIN(head_size, (size_t)ELF_HEAD_MAX)))
		return err_set(err, -ENOEXEC, "kernel: program headers lie too far into the file");
	image.entry_gpa = e.e_entry;
	for (unsigned int i = 0; i < e.e_phnum; i++) {
		Elf64_Phdr p;

		memcpy(&p, (const uint8_t *)head + e.e_phoff + i * sizeof(p), sizeof(p));
		if (p.p_type != PT_LOAD || p.p_memsz == 0)
			continue;
		r = add_segment(&image, &p, file_size, err);
		if (r < 0)
			return r;
	}
	if (!entry_is_inside(&image))
		return err_set(err, -ENOEXEC, "kernel: the entry point lies in no segment");
	*ret = image;
	return 0;
}

static int regular_file_size(int fd, const char *what, uint64_t *ret, struct err *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_set(err, -errno, "%s: %m", what);
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "%s: not a regular file", what);
	*ret = (uint64_t)st.st_size;
	return 0;
}

static int read_into_ram(const struct guest_memory *memory, int fd, uint64_t offset, uint64_t gpa,
	uint64_t len, const char *what, struct err *err)
{
	void *host = guest_slice(memory, gpa, len);
	int r;

	if (!host)
		return err_set(err, -ENOMEM, "%s: %llu MiB of guest memory are too few", what,
			(unsigned long long)(memory->size_bytes >> 20));
	r = fdio_pread_full(fd, host, len, offset);
	if (r < 0)
		return err_set(err, r, "%s: cannot read: %s", what, strerror(-r));
	return 0;
}

static int load_segment(const struct guest_memory *memory, int kernel_fd,
	const struct elf_segment *s, struct err *err)
{
	if (!guest_slice(memory, s->gpa, s->memory_bytes))
		return err_set(err, -ENOMEM, "kernel: %llu MiB of guest memory are too few",
			(unsigned long long)(memory->size_bytes >> 20));
	if (!s->file_bytes)
		return 0;
	return read_into_ram(
		memory, kernel_fd, s->file_offset, s->gpa, s->file_bytes, "kernel", err);
}

int boot_load_kernel(
	const struct guest_memory *memory, int kernel_fd, struct elf_image *ret, struct err *err)
{
	uint8_t head[ELF_HEAD_MAX];
	struct elf_image image;
	uint64_t size, head_size;
	int r;

	r = regular_file_size(kernel_fd, "kernel", &size, err);
	if (r < 0)
		return r;
	head_size = MIN(size, (uint64_t)ELF_HEAD_MAX);
	r = fdio_pread_full(kernel_fd, head, head_size, 0);
	if (r < 0)
		return err_set(err, r, "kernel: cannot read: %s", strerror(-r));
	r = elf_parse(head, head_size, size, &image, err);
	if (r < 0)
		return r;
	for (unsigned int i = 0; i < image.segment_count; i++) {
		r = load_segment(memory, kernel_fd, &image.segments[i], err);
		if (r < 0)
			return r;
	}
	*ret = image;
	return 0;
}

int boot_load_initramfs(const struct guest_memory *memory, int initramfs_fd, uint64_t kernel_end,
	struct boot_file *ret, struct err *err)
{
	uint64_t low_end = MIN(memory->regions[0].size_bytes, INITRAMFS_GPA_MAX + 1);
	uint64_t size, gpa;
	int r;

	r = regular_file_size(initramfs_fd, "initramfs", &size, err);
	if (r < 0)
		return r;
	if (!size)
		return err_set(err, -EINVAL, "initramfs: empty");
	if (low_end < kernel_end || size > low_end - kernel_end)
		return err_set(err, -ENOMEM, "initramfs: %llu MiB of guest memory are too few",
			(unsigned long long)(memory->size_bytes >> 20));
	gpa = (low_end - size) & ~(PAGE - 1);
	if (gpa < kernel_end)
		return err_set(err, -ENOMEM, "initramfs: %llu MiB of guest memory are too few",
			(unsigned long long)(memory->size_bytes >> 20));
	r = read_into_ram(memory, initramfs_fd, 0, gpa, size, "initramfs", err);
	if (r < 0)
		return r;
	*ret = (struct boot_file){ gpa, size };
	return 0;
}

static void put_e820(uint8_t *params, uint64_t gpa, uint64_t size, uint32_t type)
{
	uint8_t *entry = params + BP_E820_TABLE + params[BP_E820_ENTRIES]++ * E820_ENTRY_SIZE;

	store_le64(entry, gpa);
	store_le64(entry + 8, size);
	store_le32(entry + 16, type);
}

static void put_memory_map(const struct guest_memory *memory, uint8_t *params)
{
	put_e820(params, 0, LOW_RAM_END, E820_RAM);
	put_e820(params, LOW_RAM_END, HIGH_RAM_BEGIN - LOW_RAM_END, E820_RESERVED);
	for (unsigned int i = 0; i < memory->region_count; i++) {
		const struct guest_region *region = &memory->regions[i];
		uint64_t skip = region->gpa ? 0 : HIGH_RAM_BEGIN;

		put_e820(params, region->gpa + skip, region->size_bytes - skip, E820_RAM);
	}
}

void boot_fill_params(const struct boot_facts *facts, uint8_t out[static BOOT_PARAMS_SIZE])
{
	memset(out, 0, BOOT_PARAMS_SIZE);
	store_le64(out + BP_ACPI_RSDP_ADDR, facts->rsdp_gpa);
	store_le16(out + BP_BOOT_FLAG, 0xaa55);
	memcpy(out + BP_HEADER, "HdrS", 4);
	store_le16(out + BP_VERSION, 0x20f);
	out[BP_TYPE_OF_LOADER] = 0xff; /* no number assigned */
	out[BP_LOADFLAGS] = 0x01; /* loaded high */
	store_le32(out + BP_RAMDISK_IMAGE, (uint32_t)facts->initramfs.gpa);
	store_le32(out + BP_RAMDISK_SIZE, (uint32_t)facts->initramfs.size_bytes);
	store_le32(out + BP_CMD_LINE_PTR, (uint32_t)BOOT_CMDLINE_GPA);
	store_le32(out + BP_INITRD_ADDR_MAX, (uint32_t)INITRAMFS_GPA_MAX);
	store_le32(out + BP_KERNEL_ALIGNMENT, (uint32_t)HUGE_PAGE);
	store_le32(out + BP_CMDLINE_SIZE, facts->cmdline_size);
	store_le64(out + BP_SETUP_DATA, facts->seed_gpa);
	put_memory_map(facts->memory, out);
}

/* Early entropy, so that nothing in the guest waits for it; the kernel wipes it when it has mixed it in. */
static int write_seed(uint8_t *out, struct err *err)
{
	uint8_t seed[BOOT_SEED_SIZE];

	if (getrandom(seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		return err_set(err, -EIO, "boot: no random bytes for the guest");
	store_le64(out, 0); /* the last setup_data */
	store_le32(out + 8, SETUP_RNG_SEED);
	store_le32(out + 12, BOOT_SEED_SIZE);
	memcpy(out + SETUP_DATA_HEAD, seed, sizeof(seed));
	explicit_bzero(seed, sizeof(seed));
	return 0;
}

/* Selectors 0x10 and 0x18, as the boot protocol wants them: flat 64-bit code, flat data. */
static void write_gdt(uint8_t *out)
{
	static const uint64_t gdt[] = { 0, 0, 0x00af9b000000ffffull, 0x00cf93000000ffffull };

	for (size_t i = 0; i < ARRAY_SIZE(gdt); i++)
		store_le64(out + i * 8, gdt[i]);
}

/* One PML4, one PDPT, one directory of 2 MiB pages: the first GiB, mapped to itself. */
static void write_page_tables(uint8_t *out)
{
	store_le64(out, (BOOT_PAGE_TABLES_GPA + PAGE) | PTE_PRESENT | PTE_WRITABLE);
	store_le64(out + PAGE, (BOOT_PAGE_TABLES_GPA + 2 * PAGE) | PTE_PRESENT | PTE_WRITABLE);
	for (uint64_t i = 0; i < PTES; i++)
		store_le64(out + 2 * PAGE + i * 8,
			i * HUGE_PAGE | PTE_PRESENT | PTE_WRITABLE | PTE_HUGE);
}

int boot_write(const struct guest_memory *memory, const char *cmdline,
	const struct boot_file *initramfs, uint64_t rsdp_gpa, struct err *err)
{
	uint8_t *low = guest_slice(memory, 0, HIGH_RAM_BEGIN);
	size_t cmdline_size = strlen(cmdline) + 1;
	struct boot_facts facts = {
		.memory = memory,
		.initramfs = *initramfs,
		.cmdline_size = (uint32_t)cmdline_size,
		.rsdp_gpa = rsdp_gpa,
		.seed_gpa = BOOT_SEED_GPA,
	};
	int r;

	if (!low || cmdline_size > MACHINE_CMDLINE_MAX)
		return err_set(err, -E2BIG, "boot: a command line of %zu bytes; %d are the most",
			cmdline_size, MACHINE_CMDLINE_MAX);
	memcpy(low + BOOT_CMDLINE_GPA, cmdline, cmdline_size);
	r = write_seed(low + BOOT_SEED_GPA, err);
	if (r < 0)
		return r;
	write_gdt(low + BOOT_GDT_GPA);
	write_page_tables(low + BOOT_PAGE_TABLES_GPA);
	boot_fill_params(&facts, low + BOOT_PARAMS_GPA);
	return 0;
}
