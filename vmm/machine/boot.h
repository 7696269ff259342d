/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Putting a Linux kernel into guest RAM and saying where everything is: the 64-bit boot protocol
 * (Documentation/arch/x86/boot.rst) for an ELF vmlinux. Parsing is pure; loading reads the file straight into RAM.
 *
 * Layout below 1 MiB, all of it free for the kernel once it has copied what it wants:
 *   0x00500 GDT      0x07000 boot_params      0x09000 page tables (identity, the first GiB)      0x08000 seed
 *   0x20000 command line      0xe0000 ACPI tables, 0xf0000 MP table (both reserved in the
 *   memory map)
 */
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/err.h"
#include "vmm/machine/memory.h"

#define BOOT_GDT_GPA	     0x500ull
#define BOOT_PARAMS_GPA	     0x7000ull
#define BOOT_SEED_GPA	     0x8000ull
#define BOOT_STACK_GPA	     0x8ff0ull
#define BOOT_PAGE_TABLES_GPA 0x9000ull
#define BOOT_CMDLINE_GPA     0x20000ull
#define BOOT_ACPI_GPA	     0xe0000ull
#define BOOT_MPTABLE_GPA     0xf0000ull
#define BOOT_PARAMS_SIZE     4096
#define BOOT_SEED_SIZE	     32

/* What a kernel file may be. */
#define ELF_HEAD_MAX	 16384 /* the ELF header and all program headers lie in here */
#define ELF_SEGMENTS_MAX 16
#define ELF_GPA_MIN	 (1ull << 20)
#define ELF_GPA_MAX	 (1ull << 30) /* the first identity-mapped GiB */

struct elf_segment {
	uint64_t file_offset;
	uint64_t file_bytes; /* at most memory_bytes; the rest is zero */
	uint64_t gpa;
	uint64_t memory_bytes;
};

struct elf_image {
	uint64_t entry_gpa; /* inside a segment */
	uint64_t end_gpa; /* behind the last segment */
	unsigned int segment_count; /* at least 1 */
	struct elf_segment segments[ELF_SEGMENTS_MAX];
};

/*
 * head: the first bytes of a file of file_size bytes, at most ELF_HEAD_MAX of them. -ENOEXEC with the reason unless it is
 * a 64-bit x86 executable whose segments lie in the file and in [ELF_GPA_MIN, ELF_GPA_MAX).
 */
int elf_parse(const void *head, size_t head_size, uint64_t file_size, struct elf_image *ret,
	struct err *err);

/* Reads the kernel's segments into RAM, which is zero where nothing was written yet. */
int boot_load_kernel(
	const struct guest_memory *memory, int kernel_fd, struct elf_image *ret, struct err *err);

struct boot_file {
	uint64_t gpa;
	uint64_t size_bytes; /* 0: none */
};

/* Reads the initramfs as high as the kernel can reach below the hole, above `kernel_end`. */
int boot_load_initramfs(const struct guest_memory *memory, int initramfs_fd, uint64_t kernel_end,
	struct boot_file *ret, struct err *err);

struct boot_facts {
	const struct guest_memory *memory;
	struct boot_file initramfs;
	uint32_t cmdline_size; /* with its NUL; at BOOT_CMDLINE_GPA */
	uint64_t rsdp_gpa;
	uint64_t seed_gpa; /* of a setup_data with random bytes; 0: none */
};

/* The zero page. Pure. */
void boot_fill_params(const struct boot_facts *facts, uint8_t out[static BOOT_PARAMS_SIZE]);

/* Command line, seed, GDT, page tables and zero page into RAM. cmdline has at most MACHINE_CMDLINE_MAX bytes. */
int boot_write(const struct guest_memory *memory, const char *cmdline,
	const struct boot_file *initramfs, uint64_t rsdp_gpa, struct err *err);
