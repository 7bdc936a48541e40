// The cases of the benchmark: what data/bench/cases.json says, and how much work a case is.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace mpsvk::bench {

enum class Group {
    Copy,
    Convolution,
    ConvolutionTranspose,
    MemoryBound,
    Update,
    FullyConnected,
    MatrixProduct,
    GramMatrix,
    TrainingStep
};
/// As the table calls it.
std::string nameOf(Group group);

/// One line of the report: a case of the table in one pass and one mode.
struct Case {
    Group group = Group::Copy;
    std::string name, pass;
    /// "fp32" or "fp16", the format of images and weights, or "fp32_reduced": with
    /// KernelOptions::AllowReducedPrecision.
    std::string mode;
    uint64_t n = 1;          ///< images, or rows of a matrix
    uint64_t ci = 1, co = 1; ///< feature channels read and written, or columns
    uint64_t h = 1, w = 1;   ///< of the forward source
    uint64_t k = 1, stride = 1, pad = 0, groups = 1, dilation = 1;
    uint64_t parameters = 0; ///< of an update
    bool fixed = false;      ///< not made smaller on CPU devices
    bool cpuOnly = false;    ///< on other devices only where --only names it
    std::string network;     ///< of a training step

    uint64_t elementBytes() const { return mode == "fp16" ? 2 : 4; }
    /// Of the forward result.
    uint64_t outputHeight() const { return outputSize(h); }
    uint64_t outputWidth() const { return outputSize(w); }

private:
    uint64_t outputSize(uint64_t size) const {
        if (group == Group::ConvolutionTranspose)
            return (size - 1) * stride + (k - 1) * dilation + 1 - 2 * pad;
        return (size + 2 * pad - (k - 1) * dilation - 1) / stride + 1;
    }
};

/// Throws FormatError naming what is wrong with the table.
std::vector<Case> parseCases(std::string_view json);
std::vector<Case> loadCases(const std::filesystem::path& file);

/// n and parameters divided by `divisor`, at least 1, unless the case is fixed. Pictures of a
/// training step that are larger than 32 pixels become smaller by the root of it, down to 32.
Case scaled(Case given, uint64_t divisor);

/// Those that run: `only` is a part of a name, "" for the default set of the kind of device.
std::vector<Case> selected(const std::vector<Case>& all, const std::string& only, bool onCpu);

/// The copies, and the fp32 cases that are products or made of them, in reduced precision.
std::vector<Case> reduced(const std::vector<Case>& all);

/// The least that a case must do, whoever computes it.
struct Work {
    double flops = 0; ///< a multiply-add is two; 0 where only bytes count
    double bytes = 0; ///< every operand read or written once; 0 for a training step
};
Work workOf(const Case& given);

} // namespace mpsvk::bench
