// The picture of a report: its roofline, and below it how another report compares.
#pragma once

#include "Comparison.hpp"

namespace mpsvk::bench {

/// Throws UsageError unless it ends in .svg or .png and its folder exists.
void checkPicturePath(const std::filesystem::path& file);

/// `other` may have no results. Throws UsageError when there is nothing to draw, FormatError when
/// the file cannot be written.
void savePicture(const std::filesystem::path& file, const Report& ours, const Report& other);

} // namespace mpsvk::bench
