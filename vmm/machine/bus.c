/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/machine/bus.h"

#include <errno.h>
#include <string.h>

#include "vmm/base/checked.h"

/* The first range that ends after address, by halving: ranges are sorted and disjoint. */
static unsigned int find_slot(const struct bus *bus, uint64_t address)
{
	unsigned int low = 0, high = bus->range_count;

	while (low < high) {
		unsigned int middle = low + (high - low) / 2;
		const struct bus_range *range = &bus->ranges[middle];

		if (address > range->first && address - range->first >= range->size)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int bus_add(struct bus *bus, uint64_t first, uint64_t size, const struct bus_ops *ops,
	void *handler, struct err *err)
{
	unsigned int slot = find_slot(bus, first);
	uint64_t last;

	if (!size || !checked_add(first, size - 1, &last))
		return err_set(err, -EINVAL, "bus: %s: an empty or endless range", ops->name);
	if (slot < bus->range_count && bus->ranges[slot].first <= last)
		return err_set(err, -EEXIST, "bus: %s at %#llx overlaps %s", ops->name,
			(unsigned long long)first, bus->ranges[slot].ops->name);
	if (bus->range_count == BUS_RANGES_MAX)
		return err_set(
			err, -ENOSPC, "bus: %s: more than %d ranges", ops->name, BUS_RANGES_MAX);
	memmove(&bus->ranges[slot + 1], &bus->ranges[slot],
		(bus->range_count - slot) * sizeof(bus->ranges[0]));
	bus->ranges[slot] = (struct bus_range){ first, size, ops, handler };
	bus->range_count++;
	return 0;
}

/* The range that owns all of [address, address + len), or NULL. */
static const struct bus_range *find_owner(const struct bus *bus, uint64_t address, unsigned int len)
{
	unsigned int slot;
	const struct bus_range *range;

	if (len != 1 && len != 2 && len != 4 && len != 8)
		return NULL;
	slot = find_slot(bus, address);
	if (slot == bus->range_count)
		return NULL;
	range = &bus->ranges[slot];
	if (address < range->first || !range_fits(address - range->first, len, range->size))
		return NULL;
	return range;
}

void bus_read(const struct bus *bus, uint64_t address, uint8_t *data, unsigned int len)
{
	const struct bus_range *range = find_owner(bus, address, len);

	memset(data, 0xff, len);
	if (range && range->ops->read)
		range->ops->read(range->handler, address - range->first, data, len);
}

void bus_write(const struct bus *bus, uint64_t address, const uint8_t *data, unsigned int len)
{
	const struct bus_range *range = find_owner(bus, address, len);

	if (range && range->ops->write)
		range->ops->write(range->handler, address - range->first, data, len);
}
