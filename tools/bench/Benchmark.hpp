// Runs cases on a device and collects the results.
#pragma once

#include "CaseTable.hpp"
#include "Report.hpp"

#include <mpsvk/MTL/Device.hpp>

#include <functional>

namespace mpsvk::bench {

struct Progress {
    std::function<void(const Case& next, size_t index, size_t count)> before;
    std::function<void(const Result& result)> after;
};

/// The copies run first and in any case: the others' share is of the faster one. A case that fails
/// is a result with an error.
Report runCases(const MTL::Device& device, const std::vector<Case>& cases, uint64_t scale,
                const Progress& progress);

} // namespace mpsvk::bench
