/* SPDX-License-Identifier: Apache-2.0 */
#include <elf.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"
#include "vmm/machine/boot.h"

#define MIB	  (1ull << 20)
#define FILE_SIZE 8192u

struct elf_file {
	Elf64_Ehdr e;
	Elf64_Phdr p[ELF_SEGMENTS_MAX + 1];
};

static struct elf_file good_file(void)
{
	struct elf_file f = {
		.e = {
			.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
			.e_type = ET_EXEC,
			.e_machine = EM_X86_64,
			.e_entry = 16 * MIB + 0x10,
			.e_phoff = offsetof(struct elf_file, p),
			.e_phentsize = sizeof(Elf64_Phdr),
			.e_phnum = 2,
		},
	};

	f.p[0] = (Elf64_Phdr){ .p_type = PT_LOAD,
		.p_offset = 4096,
		.p_filesz = 4096,
		.p_memsz = 8192,
		.p_paddr = 16 * MIB };
	f.p[1] = (Elf64_Phdr){ .p_type = PT_NOTE, .p_offset = UINT64_MAX, .p_filesz = UINT64_MAX };
	return f;
}

static int parse(const struct elf_file *f, struct elf_image *ret)
{
	struct err err = {};
	int r = elf_parse(f, sizeof(*f), FILE_SIZE, ret, &err);

	if (r < 0)
		assert_non_null(strstr(err.text, "kernel"));
	return r;
}

static void test_a_good_kernel(void **state)
{
	struct elf_file f = good_file();
	struct elf_image image;

	(void)state;
	assert_int_equal(parse(&f, &image), 0);
	assert_int_equal(image.segment_count, 1);
	assert_int_equal(image.entry_gpa, 16 * MIB + 0x10);
	assert_int_equal(image.end_gpa, 16 * MIB + 8192);
}

#define REFUSED(change)                                                                            \
	do {                                                                                       \
		struct elf_file f = good_file();                                                   \
		struct elf_image image = { .end_gpa = 77 };                                        \
		change;                                                                            \
		assert_int_equal(parse(&f, &image), -ENOEXEC);                                     \
		assert_int_equal(image.end_gpa, 77);                                               \
	} while (0)

static void test_bad_kernels(void **state)
{
	(void)state;
	REFUSED(f.e.e_ident[1] = 'e');
	REFUSED(f.e.e_ident[EI_CLASS] = ELFCLASS32);
	REFUSED(f.e.e_machine = EM_AARCH64);
	REFUSED(f.e.e_type = ET_REL);
	REFUSED(f.e.e_phentsize = 32);
	REFUSED(f.e.e_phoff = UINT64_MAX);
	REFUSED(f.e.e_phoff = ELF_HEAD_MAX);
	REFUSED(f.e.e_phnum = UINT16_MAX);
	REFUSED(f.e.e_phnum = 0);
	REFUSED(f.e.e_entry = 0);
	REFUSED(f.e.e_entry = 16 * MIB + 4096); /* in the part that no file backs */
	REFUSED(f.p[0].p_offset = FILE_SIZE);
	REFUSED(f.p[0].p_offset = UINT64_MAX);
	REFUSED(f.p[0].p_memsz = 4095);
	REFUSED(f.p[0].p_memsz = UINT64_MAX);
	REFUSED(f.p[0].p_paddr = 0);
	REFUSED(f.p[0].p_paddr = ELF_GPA_MAX - 4096);
	REFUSED(f.p[0].p_paddr = UINT64_MAX - 4096);
	REFUSED(f.p[1] = f.p[0]); /* overlap */
	REFUSED(for (int i = 0; i <= ELF_SEGMENTS_MAX; i++) {
		f.p[i] = f.p[0];
		f.p[i].p_paddr = 16 * MIB + (uint64_t)i * MIB;
		f.e.e_phnum = ELF_SEGMENTS_MAX + 1;
	});
}

static int file_of(const void *data, size_t len, size_t size)
{
	int fd = memfd_create("kernel", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(fdio_write_full(fd, data, len), 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return fd;
}

static void test_loading(void **state)
{
	struct elf_file f = good_file();
	_cleanup_close_ int kernel = file_of(&f, sizeof(f), FILE_SIZE);
	_cleanup_close_ int initramfs = file_of("cpio", 4, 5000);
	_cleanup_close_ int huge = file_of("", 0, 60 * MIB);
	struct guest_memory memory;
	struct elf_image image;
	struct boot_file placed;

	(void)state;
	assert_int_equal(pwrite(kernel, "\xf4", 1, 4096 + 0x10), 1);
	assert_int_equal(guest_memory_init(&memory, 64 * MIB, NULL), 0);
	assert_int_equal(boot_load_kernel(&memory, kernel, &image, NULL), 0);
	assert_int_equal(*(uint8_t *)guest_slice(&memory, image.entry_gpa, 1), 0xf4);
	assert_int_equal(boot_load_initramfs(&memory, initramfs, image.end_gpa, &placed, NULL), 0);
	assert_int_equal(placed.gpa, 64 * MIB - 8192);
	assert_int_equal(placed.size_bytes, 5000);
	assert_memory_equal(guest_slice(&memory, placed.gpa, 4), "cpio", 4);
	assert_int_equal(boot_load_initramfs(&memory, huge, image.end_gpa, &placed, NULL), -ENOMEM);
	guest_memory_finish(&memory);
}

static void test_a_kernel_that_does_not_fit(void **state)
{
	struct elf_file f = good_file();
	_cleanup_close_ int kernel = -1;
	struct guest_memory memory;
	struct elf_image image;

	(void)state;
	f.p[0].p_paddr = 64 * MIB - 4096;
	f.e.e_entry = f.p[0].p_paddr;
	kernel = file_of(&f, sizeof(f), FILE_SIZE);
	assert_int_equal(guest_memory_init(&memory, 64 * MIB, NULL), 0);
	assert_int_equal(boot_load_kernel(&memory, kernel, &image, NULL), -ENOMEM);
	guest_memory_finish(&memory);
}

static void test_zero_page(void **state)
{
	struct guest_memory memory;
	struct boot_file initramfs = { 0x7000000, 5000 };
	const uint8_t *p;

	(void)state;
	assert_int_equal(guest_memory_init(&memory, 5120 * MIB, NULL), 0);
	assert_int_equal(boot_write(&memory, "console=hvc0", &initramfs, BOOT_ACPI_GPA, NULL), 0);
	p = guest_slice(&memory, BOOT_PARAMS_GPA, BOOT_PARAMS_SIZE);
	assert_int_equal(load_le64(p + 0x70), BOOT_ACPI_GPA);
	assert_int_equal(load_le16(p + 0x1fe), 0xaa55);
	assert_memory_equal(p + 0x202, "HdrS", 4);
	assert_int_equal(load_le32(p + 0x218), 0x7000000);
	assert_int_equal(load_le32(p + 0x21c), 5000);
	assert_string_equal(guest_slice(&memory, load_le32(p + 0x228), 13), "console=hvc0");
	/* the memory map: low RAM, the reserved rest of the first MiB, RAM to 3 GiB, RAM from 4 GiB */
	assert_int_equal(p[0x1e8], 4);
	assert_int_equal(load_le64(p + 0x2d0 + 8), 0x9fc00);
	assert_int_equal(load_le32(p + 0x2d0 + 20 + 16), 2);
	assert_int_equal(load_le64(p + 0x2d0 + 40), MIB);
	assert_int_equal(load_le64(p + 0x2d0 + 40 + 8), 3071 * MIB);
	assert_int_equal(load_le64(p + 0x2d0 + 60), 4096 * MIB);
	assert_int_equal(load_le64(p + 0x2d0 + 60 + 8), 2048 * MIB);
	/* a seed of random bytes */
	p = guest_slice(&memory, load_le64(p + 0x250), 16 + BOOT_SEED_SIZE);
	assert_int_equal(load_le32(p + 8), 9);
	assert_int_equal(load_le32(p + 12), BOOT_SEED_SIZE);
	guest_memory_finish(&memory);
}

static void test_identity_map(void **state)
{
	struct guest_memory memory;
	struct boot_file none = {};
	const uint8_t *pml4, *pdpt, *pd;

	(void)state;
	assert_int_equal(guest_memory_init(&memory, 64 * MIB, NULL), 0);
	assert_int_equal(boot_write(&memory, "", &none, BOOT_ACPI_GPA, NULL), 0);
	pml4 = guest_slice(&memory, BOOT_PAGE_TABLES_GPA, 4096);
	pdpt = guest_slice(&memory, load_le64(pml4) & ~0xfffull, 4096);
	pd = guest_slice(&memory, load_le64(pdpt) & ~0xfffull, 4096);
	for (uint64_t i = 0; i < 512; i++)
		assert_int_equal(load_le64(pd + i * 8), i * 2 * MIB | 0x83);
	guest_memory_finish(&memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_good_kernel),
		cmocka_unit_test(test_bad_kernels),
		cmocka_unit_test(test_loading),
		cmocka_unit_test(test_a_kernel_that_does_not_fit),
		cmocka_unit_test(test_zero_page),
		cmocka_unit_test(test_identity_map),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
