#include "Picture.hpp"

#include "Options.hpp"
#include "Ratios.hpp"
#include "Roofline.hpp"

#include "train/Canvas.hpp"
#include "train/Svg.hpp"

#include <memory>

namespace mpsvk::bench {

namespace {

constexpr unsigned width = 1400;
constexpr double roofHeight = 720;

bool isSvg(const std::filesystem::path& file) { return file.extension() == ".svg"; }

std::unique_ptr<train::Drawing> drawing(const std::filesystem::path& file, unsigned height) {
    if (isSvg(file)) return std::make_unique<train::Svg>(width, height, train::paper);
    return std::make_unique<train::Canvas>(width, height, train::paper);
}

std::string nameOf(const Report& report) {
    return report.device.empty() ? "an unnamed device" : report.device;
}

} // namespace

void checkPicturePath(const std::filesystem::path& file) {
    if (!isSvg(file) && file.extension() != ".png")
        throw UsageError("--chart " + file.string() + " ends neither in .svg nor in .png.");
    checkFolder("--chart", file);
}

void savePicture(const std::filesystem::path& file, const Report& ours, const Report& other) {
    const Roofline roofline = rooflineOf(ours);
    const std::vector<Pair> pairs = pairsOf(ours, other);
    if (roofline.points.empty() && pairs.empty())
        throw UsageError("--chart " + file.string() +
                         ": there is nothing to draw, for no case has a rate or a counterpart.");
    const double top = roofline.points.empty() ? 0 : roofHeight;
    const double height = top + (pairs.empty() ? 0 : heightOfRatios(pairs));
    const auto picture = drawing(file, unsigned(height));
    if (!roofline.points.empty())
        drawRoofline(*picture, {110, 64, 1090, 640}, roofline, nameOf(ours));
    if (!pairs.empty())
        drawRatios(*picture, width, top, pairs, nameOf(ours) + " next to " + nameOf(other));
    picture->save(file);
}

} // namespace mpsvk::bench
