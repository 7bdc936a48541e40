#include "Benchmark.hpp"

#include "DeviceFacts.hpp"
#include "Timer.hpp"
#include "Workloads.hpp"

#include <mpsvk/MTL/CommandQueue.hpp>

#include <algorithm>
#include <stdexcept>

namespace mpsvk::bench {

namespace {

class Runner {
public:
    Runner(const MTL::CommandQueue& queue, bool onCpu) : queue_(queue), timer_(queue, onCpu) {}

    Result run(const Case& c) {
        Result result{c.name, c.pass, c.mode};
        try {
            if (!heat_ && !timer_.onCpu()) {
                // An idle card runs at a sixth of its clock, and copies do not wake it.
                Case hot{Group::Convolution, "heat", "forward", "fp32"};
                hot.n = 64, hot.ci = hot.co = 128, hot.h = hot.w = 28, hot.k = 3, hot.pad = 1;
                heat_ = makeWorkload(queue_, hot);
                timer_.keepBusy(heat_, 2);
            }
            const Encode encode = makeWorkload(queue_, c);
            if (heat_) timer_.keepBusy(heat_, 0.4);
            measure(c, encode, result);
        } catch (const std::exception& error) {
            result.error = error.what();
        }
        return result;
    }

private:
    void measure(const Case& c, const Encode& encode, Result& result) {
        if (c.group == Group::TrainingStep) {
            const Timer::Step step = timer_.measureSteps(encode);
            result.ms = step.gpu * 1e3;
            result.wallMs = step.wall * 1e3;
            result.hostMs = step.host * 1e3;
            return;
        }
        const double seconds = timer_.measure(encode);
        const Work work = workOf(c);
        const double bandwidth = work.bytes / seconds;
        result.ms = seconds * 1e3;
        if (work.flops > 0)
            result.tflops = work.flops / seconds / 1e12;
        else
            result.gbps = bandwidth / 1e9;
        if (c.group == Group::Copy)
            copyBandwidth_ = std::max(copyBandwidth_, bandwidth);
        else if (copyBandwidth_ > 0)
            result.share = bandwidth / copyBandwidth_;
    }

    MTL::CommandQueue queue_;
    Timer timer_;
    Encode heat_;
    double copyBandwidth_ = 0;
};

} // namespace

Report runCases(const MTL::Device& device, const std::vector<Case>& cases, uint64_t scale,
                const Progress& progress) {
    const DeviceFacts facts = factsOf(device);
    Report report{facts.name, facts.driver, scale, {}};
    Runner runner(device.newCommandQueue(), facts.isCpu);
    for (size_t i = 0; i < cases.size(); ++i) {
        progress.before(cases[i], i, cases.size());
        report.results.push_back(runner.run(scaled(cases[i], scale)));
        progress.after(report.results.back());
    }
    describe(report, cases);
    return report;
}

} // namespace mpsvk::bench
