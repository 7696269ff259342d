/* SPDX-License-Identifier: Apache-2.0 */
/* A kernel file's headers: whatever is accepted lies inside the file, inside the first GiB, without overlaps. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include "vmm/machine/boot.h"

#define FILE_SIZE (64u << 20) /* of which the input is the head */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int holds)
{
	if (!holds)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct elf_image image;
	struct err err = {};

	if (elf_parse(data, size, FILE_SIZE, &image, &err) < 0) {
		check(err.code == -ENOEXEC);
		return 0;
	}
	check(image.segment_count >= 1 && image.segment_count <= ELF_SEGMENTS_MAX);
	for (unsigned int i = 0; i < image.segment_count; i++) {
		const struct elf_segment *s = &image.segments[i];

		check(s->file_bytes <= s->memory_bytes);
		check(s->file_offset <= FILE_SIZE && s->file_bytes <= FILE_SIZE - s->file_offset);
		check(s->gpa >= ELF_GPA_MIN && s->memory_bytes <= ELF_GPA_MAX - s->gpa);
		check(s->gpa + s->memory_bytes <= image.end_gpa);
	}
	check(image.entry_gpa >= ELF_GPA_MIN && image.entry_gpa < image.end_gpa);
	return 0;
}
