#include "Timer.hpp"

#include "Operands.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>

namespace mpsvk::bench {

namespace {

double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

} // namespace

double median(std::vector<double> values) {
    if (values.empty()) return 0;
    const size_t middle = values.size() / 2;
    std::sort(values.begin(), values.end());
    if (values.size() % 2 == 1) return values[middle];
    return (values[middle - 1] + values[middle]) / 2;
}

double Timer::seconds(const Encode& encode, int repeats) const {
    const double start = now();
    const MTL::CommandBuffer commands = run(queue_, [&](const MTL::CommandBuffer& buffer) {
        for (int i = 0; i < repeats; ++i) encode(buffer);
    });
    if (onCpu_) return now() - start;
    return commands.GPUEndTime() - commands.GPUStartTime();
}

double Timer::measure(const Encode& encode) const {
    seconds(encode, 1); // pipelines are made at first use
    if (!onCpu_) keepBusy(encode, 0.05);
    const double least = onCpu_ ? 2e-2 : 3e-3; // per command buffer
    int repeats = 1;
    double once = 0;
    for (int round = 0; round < 4; ++round) {
        const double all = std::max(seconds(encode, repeats), 1e-7);
        once = all / repeats;
        if (all >= least) break;
        repeats = int(std::clamp(std::ceil(1.1 * least / once), 1.0, 1000.0));
    }
    const int samples = !onCpu_ ? 21 : once > 1 ? 3 : 5;
    std::vector<double> times;
    for (int i = 0; i < samples; ++i) times.push_back(seconds(encode, repeats) / repeats);
    return median(times);
}

void Timer::keepBusy(const Encode& encode, double total) const {
    const double end = now() + total;
    int repeats = 1;
    while (now() < end) {
        if (seconds(encode, repeats) < 1e-2 && repeats < 1000) repeats *= 2;
    }
}

double Timer::pipelined(const Encode& encode, int steps, std::vector<double>& host) const {
    MTL::CommandBuffer earlier, previous;
    const auto finish = [](const MTL::CommandBuffer& commands) {
        if (!commands) return;
        commands.waitUntilCompleted();
        if (const MTL::CommandBufferError error = commands.error())
            throw DeviceError(error.description);
    };
    const double begin = now();
    for (int i = 0; i < steps; ++i) {
        const double start = now();
        const MTL::CommandBuffer commands = queue_.commandBuffer();
        encode(commands);
        commands.commit();
        host.push_back(now() - start);
        finish(earlier);
        earlier = previous;
        previous = commands;
    }
    finish(earlier);
    finish(previous);
    return now() - begin;
}

Timer::Step Timer::measureSteps(const Encode& encode) const {
    // The first steps record what later ones replay.
    for (int i = 0; i < 3; ++i) seconds(encode, 1);
    const double once = std::max(seconds(encode, 1), 1e-6);
    const int steps = int(std::clamp(1 / once, onCpu_ ? 3.0 : 50.0, 1000.0));
    std::vector<double> host;
    pipelined(encode, steps / 3, host); // warm
    host.clear();
    const double wall = pipelined(encode, steps, host) / steps;
    // With nothing before it in the queue, a step's timestamps hold nothing but the step.
    std::vector<double> gpu;
    for (int i = 0; i < std::min(steps, 51); ++i) gpu.push_back(seconds(encode, 1));
    return {median(gpu), wall, median(host)};
}

} // namespace mpsvk::bench
