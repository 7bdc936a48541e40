#pragma once
// What the double-precision references compute with: an array of images, channels last.

#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <string>
#include <vector>

namespace mpsvk::reference {

struct Tensor {
    std::size_t n = 0, h = 0, w = 0, c = 0;
    std::vector<double> v; // [image][row][column][channel]

    Tensor() = default;
    Tensor(std::size_t n, std::size_t h, std::size_t w, std::size_t c, double value = 0);
    Tensor(std::size_t n, std::size_t h, std::size_t w, std::size_t c, std::vector<double> values);

    std::size_t size() const { return v.size(); }
    std::size_t index(std::size_t image, std::size_t y, std::size_t x, std::size_t channel) const {
        return ((image * h + y) * w + x) * c + channel;
    }
    double& at(std::size_t image, std::size_t y, std::size_t x, std::size_t channel) {
        return v.at(index(image, y, x, channel));
    }
    double at(std::size_t image, std::size_t y, std::size_t x, std::size_t channel) const {
        return v.at(index(image, y, x, channel));
    }
    bool sameShape(const Tensor& other) const {
        return n == other.n && h == other.h && w == other.w && c == other.c;
    }
    std::vector<float> floats() const;
};

Tensor fromFloats(std::size_t n, std::size_t h, std::size_t w, std::size_t c,
                  const std::vector<float>& values);

// A reference that is called wrongly must not pass for an answer.
void require(bool condition, const char* message);

// ---- edges and regions -------------------------------------------------------------------------

enum class EdgeMode { Zero, Clamp };

// The pixel that a position reads, or -1 for none.
std::ptrdiff_t resolve(std::ptrdiff_t position, std::size_t size, EdgeMode edge);

struct Region {
    std::ptrdiff_t x = 0, y = 0;
    std::size_t width = SIZE_MAX, height = SIZE_MAX; // cut at the image's borders
};

// Pixels of the region that lie outside the image are zero when both sizes are given.
Tensor crop(const Tensor& source, Region region);
// Writes the result's pixel (0, 0) to the region's origin; leaves everything outside alone.
void paste(Tensor& destination, Region region, std::size_t firstChannel, const Tensor& result);
Tensor channels(const Tensor& source, std::size_t first, std::size_t count);
Tensor image(const Tensor& source, std::size_t index);
Tensor stack(const std::vector<Tensor>& images);

// ---- values ------------------------------------------------------------------------------------

Tensor random(std::size_t n, std::size_t h, std::size_t w, std::size_t c, std::uint64_t seed,
              double low = -1, double high = 1);
// All values differ by at least (high - low) / size: what selects a maximum has no ties and does
// not change under small steps.
Tensor distinct(std::size_t n, std::size_t h, std::size_t w, std::size_t c, std::uint64_t seed,
                double low = -1, double high = 1);
Tensor randomLike(const Tensor& shape, std::uint64_t seed, double low = -1, double high = 1);
std::vector<double> randomVector(std::size_t size, std::uint64_t seed, double low = -1,
                                 double high = 1);

enum class Storage { Float32, Float16, Unorm8 };

// What a value reads back as after it was stored: round to nearest even.
double rounded(double value, Storage storage);
Tensor rounded(Tensor tensor, Storage storage);
std::vector<double> rounded(std::vector<double> values, Storage storage);

Tensor absolute(Tensor tensor);
std::vector<double> absolute(std::vector<double> values);
double dot(const Tensor& a, const Tensor& b);

// ---- comparison --------------------------------------------------------------------------------

// |actual - expected| <= absolute + relative * scale. The scale of an element is its own in
// `magnitude`, usually the sum of |terms| (the reference of the absolute operands), or without one
// the largest |expected|.
struct Tolerance {
    double relative = 1e-5;
    double absolute = 0;
    const Tensor* magnitude = nullptr;
};

struct Comparison {
    bool equal = false;
    double worst = 0; // error / allowed error
    std::size_t index = 0;
    double actual = 0, expected = 0;
    std::string text;

    explicit operator bool() const { return equal; }
};

Comparison compare(const Tensor& actual, const Tensor& expected, Tolerance tolerance = {});
Comparison compare(const std::vector<double>& actual, const std::vector<double>& expected,
                   Tolerance tolerance = {});
std::ostream& operator<<(std::ostream& stream, const Comparison& comparison);

} // namespace mpsvk::reference
