// How long work takes: many repeats in a command buffer, the median of many command buffers.
#pragma once

#include <mpsvk/MTL/CommandBuffer.hpp>

#include <functional>
#include <vector>

namespace mpsvk::bench {

/// Records the work once. What it captures lives as long as it.
using Encode = std::function<void(const MTL::CommandBuffer&)>;

double median(std::vector<double> values);

class Timer {
public:
    /// A CPU device is timed by the wall clock, with fewer repeats.
    Timer(const MTL::CommandQueue& queue, bool onCpu) : queue_(queue), onCpu_(onCpu) {}
    bool onCpu() const { return onCpu_; }

    /// Seconds of one repeat.
    double measure(const Encode& encode) const;
    /// Repeats `encode` until `seconds` are over: an idle device runs at a fraction of its clock.
    void keepBusy(const Encode& encode, double seconds) const;

    struct Step {
        double gpu = 0;  ///< seconds of the device
        double wall = 0; ///< from step to step, two of them in flight
        double host = 0; ///< seconds in which the host encodes and commits
    };
    /// `encode` is one training step.
    Step measureSteps(const Encode& encode) const;

private:
    double seconds(const Encode& encode, int repeats) const;
    /// Seconds of `steps` steps, two in flight; `host` gets what encoding and committing each took.
    double pipelined(const Encode& encode, int steps, std::vector<double>& host) const;

    MTL::CommandQueue queue_;
    bool onCpu_;
};

} // namespace mpsvk::bench
