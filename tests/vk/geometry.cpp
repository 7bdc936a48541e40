// The geometry that C++ and the shaders share, against the published tables and brute force.

#include "geometry.h"

#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <map>
#include <set>
#include <utility>
#include <vector>

using namespace mpsvk::glsl;

namespace {

struct PaddingRow {
    int size, stride, taps, style, result, missing, first, second;
};

// Size, stride, taps; style; result, missing pixels, offset with the remainder first / last.
const PaddingRow paddingTable[] = {
    {7, 2, 3, -1, 3, 0, 1, 1},  {7, 2, 3, 0, 4, 2, 0, 0},  {7, 2, 3, 1, 5, 4, -1, -1},
    {8, 2, 3, -1, 3, -1, 1, 1}, {8, 2, 3, 0, 4, 1, 0, 1},  {8, 2, 3, 1, 5, 3, -1, 0},
    {7, 2, 2, -1, 3, -1, 1, 1}, {7, 2, 2, 0, 4, 1, 0, 1},  {7, 2, 2, 1, 4, 1, 0, 1},
    {7, 3, 2, -1, 2, -2, 1, 2}, {7, 3, 2, 0, 3, 1, 0, 1},  {7, 3, 2, 1, 3, 1, 0, 1},
    {6, 3, 2, -1, 2, -1, 1, 1}, {6, 3, 2, 0, 2, -1, 1, 1}, {6, 3, 2, 1, 3, 2, 0, 0},
    {6, 3, 1, -1, 2, -2, 0, 1}, {6, 3, 1, 0, 2, -2, 0, 1}, {6, 3, 1, 1, 2, -2, 0, 1},
    {5, 1, 4, -1, 2, 0, 2, 2},  {5, 1, 4, 0, 5, 3, 0, 1},  {5, 1, 4, 1, 8, 6, -1, -1},
    {8, 3, 3, -1, 2, -2, 1, 2}, {8, 3, 3, 0, 3, 1, 0, 1},  {8, 3, 3, 1, 4, 4, -1, -1},
};

// One axis: every tap of every window and the pixel that it reads.
struct Axis {
    int size, taps, dilation, stride, offset, windows;
    bool clamp;

    int extent() const { return (taps - 1) * dilation + 1; }
    // Of window x, tap p; -1 for none. Written without any function under test.
    int pixel(int x, int p) const {
        const int position = offset - int(std::floor(extent() / 2.0)) + stride * x + dilation * p;
        if (clamp) {
            return std::min(std::max(position, 0), size - 1);
        }
        return position < 0 || position >= size ? -1 : position;
    }
};

template <class Visit> void allAxes(Visit visit) {
    for (int size = 1; size <= 7; ++size) {
        for (int taps = 1; taps <= 4; ++taps) {
            for (int dilation = 1; dilation <= 3; ++dilation) {
                for (int stride = 1; stride <= 4; ++stride) {
                    for (int offset = -5; offset <= 5; ++offset) {
                        for (int windows = 1; windows <= 5; ++windows) {
                            for (bool clamp : {false, true}) {
                                visit(Axis{size, taps, dilation, stride, offset, windows, clamp});
                            }
                        }
                    }
                }
            }
        }
    }
}

using Readings = std::multiset<std::pair<int, int>>; // of one pixel: window, tap

} // namespace

TEST_CASE("Divisions round as they say", "[geometry]") {
    for (int a = -50; a <= 50; ++a) {
        CHECK(truncatedHalf(a) == a / 2);
        for (int b = 1; b <= 9; ++b) {
            CHECK(floorDivide(a, b) == int(std::floor(double(a) / b)));
            CHECK(ceilDivide(a, b) == int(std::ceil(double(a) / b)));
            CHECK(floorModulo(a, b) == a - b * int(std::floor(double(a) / b)));
        }
    }
}

TEST_CASE("Padding policies give the published sizes and offsets", "[geometry]") {
    for (const PaddingRow& row : paddingTable) {
        INFO("size " << row.size << ", stride " << row.stride << ", taps " << row.taps << ", style "
                     << row.style);
        CHECK(paddedSize(row.size, row.stride, row.taps, row.style) == row.result);
        CHECK((row.result - 1) * row.stride + row.taps - row.size == row.missing);
        CHECK(paddingOffset(row.size, row.result, row.stride, row.taps, 0, 1) == row.first);
        CHECK(paddingOffset(row.size, row.result, row.stride, row.taps, 0, 0) == row.second);
    }
    CHECK(paddedSize(9, 4, 2, -1) == 2);
    CHECK(paddingOffset(9, 2, 4, 2, 0, 0) == 2);
    CHECK(paddedSize(2, 1, 5, -1) == 0);
}

TEST_CASE("Reverse padding policies give the published sizes", "[geometry]") {
    const int table[][6] = {{4, 2, 3, 5, 7, 9}, {4, 2, 4, 4, 7, 10}, {7, 3, 2, 18, 19, 20}};
    for (const auto& row : table) {
        for (int style = -1; style <= 1; ++style) {
            CHECK(reversePaddedSize(row[0], row[1], row[2], style) == row[4 + style]);
        }
    }
    for (int size = 1; size < 6; ++size) {
        for (int stride = 1; stride < 4; ++stride) {
            for (int extent = 1; extent < 6; ++extent) {
                for (int first = 0; first <= 1; ++first) {
                    const auto offset = [&](int style) {
                        const int result = (size - 1) * stride + 1 + style * (extent - 1);
                        return reversePaddingOffset(size, result, stride, extent, 0, first);
                    };
                    CHECK(offset(-1) == extent / 2);
                    CHECK(offset(0) == extent / 2 - (extent - 1 + first) / 2);
                    CHECK(offset(1) == extent / 2 - (extent - 1));
                }
            }
        }
    }
}

TEST_CASE("Padding policies agree with their defining properties", "[geometry]") {
    for (int size = 1; size < 20; ++size) {
        for (int stride = 1; stride < 5; ++stride) {
            for (int extent = 1; extent < 6; ++extent) {
                INFO("size " << size << ", stride " << stride << ", extent " << extent);
                const int same = paddedSize(size, stride, extent, 0);
                CHECK(same == (size + stride - 1) / stride);
                CHECK(paddedSize(size, stride, extent, 1) ==
                      (size + extent - 1 + stride - 1) / stride);
                if (stride <= extent) { // TensorFlow's SAME
                    const int total = std::max(0, (same - 1) * stride + extent - size);
                    CHECK(windowStart(paddingOffset(size, same, stride, extent, 0, 0), extent) ==
                          -(total / 2));
                }
                const int missing = (same - 1) * stride + extent - size;
                CHECK(windowStart(paddingOffset(size, same, stride, extent, 1, 0), extent) ==
                      -missing);
                CHECK(windowStart(paddingOffset(size, same, stride, extent, 2, 1), extent) == 0);
                if (size < extent) {
                    CHECK(paddedSize(size, stride, extent, -1) == 0);
                    continue;
                }
                const int valid = paddedSize(size, stride, extent, -1);
                CHECK(valid == (size - extent) / stride + 1);
                const int start =
                    windowStart(paddingOffset(size, valid, stride, extent, 0, 0), extent);
                CHECK((start == 0) == ((size - extent) % stride < 2));
                CHECK(start >= 0);
                CHECK(start + (valid - 1) * stride + extent <= size);
            }
        }
    }
}

TEST_CASE("Windows lie where the published table puts them", "[geometry]") {
    struct Row {
        int taps, dilation, offset, stride, window;
        std::vector<int> positions;
    };
    const Row table[] = {{3, 1, 0, 1, 0, {-1, 0, 1}}, {2, 1, 0, 3, 1, {2, 3}},
                         {2, 1, 1, 3, 0, {0, 1}},     {4, 1, 0, 1, 0, {-2, -1, 0, 1}},
                         {2, 3, 5, 1, 0, {3, 6}},     {3, 2, 2, 2, 1, {2, 4, 6}}};
    for (const Row& row : table) {
        const int extent = dilatedExtent(row.taps, row.dilation);
        std::vector<int> positions;
        for (int p = 0; p < row.taps; ++p) {
            positions.push_back(windowStart(row.offset, extent) + row.stride * row.window +
                                row.dilation * p);
        }
        CHECK(positions == row.positions);
    }
}

TEST_CASE("Gradient offsets follow the published table", "[geometry]") {
    const int table[][6] = {{0, 1, 3, 1, 0, -1}, {1, 2, 3, 1, -1, 0}, {1, 2, 2, 1, 0, 0},
                            {0, 2, 2, 1, 1, -1}, {2, 1, 4, 1, -1, 0}, {2, 3, 2, 3, -1, 0}};
    for (const auto& row : table) {
        const int extent = dilatedExtent(row[2], row[3]);
        CHECK(gradientKernelOffset(row[0], extent) == row[4]);
        CHECK(gradientSecondaryOffset(row[0], extent) == row[5]);
        CHECK(forwardOffset(0, row[1], row[4], extent) == row[0]);
        CHECK(forwardOffset(1, row[1], row[4] - row[1], extent) == row[0]);
    }
}

TEST_CASE("A data gradient is a convolution of the spread gradient", "[geometry]") {
    // Tap q of result u reads the spread gradient; the kernel's own tap is taps - 1 - q.
    allAxes([](const Axis& a) {
        if (a.clamp) {
            return;
        }
        std::map<int, Readings> expected, found;
        for (int x = 0; x < a.windows; ++x) {
            for (int p = 0; p < a.taps; ++p) {
                if (a.pixel(x, p) >= 0) {
                    expected[a.pixel(x, p)].emplace(x, p);
                }
            }
        }
        const int start =
            transposeStart(0, a.stride, gradientKernelOffset(a.offset, a.extent()), a.extent());
        for (int u = 0; u < a.size; ++u) {
            for (int q = 0; q < a.taps; ++q) {
                const int x = spreadSource(u + start + a.dilation * q, a.stride, a.windows);
                if (x >= 0) {
                    found[u].emplace(x, a.taps - 1 - q);
                }
            }
        }
        if (found != expected) {
            FAIL("size " << a.size << ", taps " << a.taps << ", dilation " << a.dilation
                         << ", stride " << a.stride << ", offset " << a.offset << ", windows "
                         << a.windows);
        }
    });
}

TEST_CASE("A pixel finds exactly the windows and taps that read it", "[geometry]") {
    std::size_t readings = 0;
    allAxes([&](const Axis& a) {
        std::map<int, Readings> expected, found, byTap;
        for (int x = 0; x < a.windows; ++x) {
            for (int p = 0; p < a.taps; ++p) {
                if (a.pixel(x, p) >= 0) {
                    expected[a.pixel(x, p)].emplace(x, p);
                }
            }
        }
        const int start = windowStart(a.offset, a.extent());
        const int reach = windowReach(start, a.stride, a.extent(), a.windows);
        for (int u = 0; u < a.size; ++u) {
            const int low = lowPosition(u, start, a.clamp);
            const int high = highPosition(u, a.size, reach, a.clamp);
            const int last = lastWindow(high, start, a.stride, a.windows);
            for (int x = firstWindow(low, start, a.stride, a.extent()); x <= last; ++x) {
                const int begin = start + a.stride * x;
                const int lastOfWindow = lastTap(high, begin, a.dilation, a.taps);
                for (int p = firstTap(low, begin, a.dilation); p <= lastOfWindow; ++p) {
                    found[u].emplace(x, p);
                    ++readings;
                }
            }
            for (int p = 0; p < a.taps; ++p) {
                const int x = windowOfTap(u, start, a.stride, a.dilation, p, a.windows);
                if (x >= 0) {
                    byTap[u].emplace(x, p);
                }
            }
        }
        if (found != expected || (!a.clamp && byTap != expected)) {
            FAIL("size " << a.size << ", taps " << a.taps << ", dilation " << a.dilation
                         << ", stride " << a.stride << ", offset " << a.offset << ", windows "
                         << a.windows << ", clamp " << a.clamp);
        }
    });
    CHECK(readings > 100000);
}

TEST_CASE("Average pooling counts the pixels of the padded image", "[geometry]") {
    for (int size = 1; size <= 6; ++size) {
        for (int taps = 1; taps <= 5; ++taps) {
            for (int padding = 0; padding <= 3; ++padding) {
                for (int begin = -9; begin <= 9; ++begin) {
                    int count = 0;
                    for (int position = begin; position < begin + taps; ++position) {
                        count += position >= -padding && position < size + padding;
                    }
                    CHECK(averageCount(begin, taps, size, padding) == count);
                }
            }
        }
    }
    CHECK(poolingGradientOrigin(0, 3) == 0);
    CHECK(poolingGradientOrigin(4, 3) == 3);
    CHECK(poolingGradientOrigin(4, 4) == 2);
}

TEST_CASE("Transposed windows start where their offsets say", "[geometry]") {
    CHECK(transposeStart(0, 2, 0, 3) == -1);
    CHECK(transposeStart(2, 3, -1, 4) == 3);
    CHECK(spreadSource(6, 3, 3) == 2);
    CHECK(spreadSource(7, 3, 3) == -1);
    CHECK(spreadSource(9, 3, 3) == -1);
    CHECK(spreadSource(-3, 3, 3) == -1);
}

TEST_CASE("Edge modes map indices as in the published examples", "[geometry]") {
    const auto mapped = [](int (*map)(int, int), int first, int last, int size) {
        std::vector<int> result;
        for (int i = first; i <= last; ++i) {
            result.push_back(map(i, size));
        }
        return result;
    };
    using List = std::vector<int>;
    CHECK(mapped(mirrorIndex, -4, 3, 3) == List{0, 1, 2, 1, 0, 1, 2, 1});
    CHECK(mapped(mirrorWithEdgeIndex, -2, 5, 3) == List{1, 0, 0, 1, 2, 2, 1, 0});
    CHECK(mapped(clampIndex, -2, 5, 3) == List{0, 0, 0, 1, 2, 2, 2, 2});
    CHECK(mapped(mirrorIndex, -2, 2, 1) == List{0, 0, 0, 0, 0});
    CHECK(mapped(mirrorWithEdgeIndex, -2, 2, 1) == List{0, 0, 0, 0, 0});
    for (int size = 1; size < 6; ++size) {
        for (int i = -20; i < 20; ++i) { // walk there from pixel 0, turning at the edges
            int position = 0, direction = i < 0 ? -1 : 1;
            for (int steps = 0; steps < std::abs(i) && size > 1; ++steps) {
                if (position + direction < 0 || position + direction >= size) {
                    direction = -direction;
                }
                position += direction;
            }
            CHECK(mirrorIndex(i, size) == position);
        }
    }
}
