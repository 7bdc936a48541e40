// The filter of addresses: it may take one for another, but forgets none.
#include "vk/AddressFilter.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace mpsvk;

namespace {

/// As objects of an allocator lie.
const void* address(size_t i) { return reinterpret_cast<const void*>(0x7f0012345600 + 96 * i); }

size_t countIn(const vk::AddressFilter& filter, size_t first, size_t last) {
    size_t count = 0;
    for (size_t i = first; i < last; ++i) count += filter.mayHave(address(i));
    return count;
}

} // namespace

TEST_CASE("A filter of addresses knows all that were added, and few others", "[AddressFilter]") {
    vk::AddressFilter filter;
    CHECK(countIn(filter, 0, 1000) == 0);
    for (size_t i = 0; i < 600; ++i) filter.add(address(i));
    CHECK(countIn(filter, 0, 600) == 600);
    CHECK(countIn(filter, 600, 10600) < 500);

    vk::AddressFilter other;
    for (size_t i = 20000; i < 20010; ++i) other.add(address(i));
    other.add(filter);
    CHECK(countIn(other, 0, 600) == 600);
    CHECK(countIn(other, 20000, 20010) == 10);
    filter.clear();
    CHECK(countIn(filter, 0, 1000) == 0);
}
