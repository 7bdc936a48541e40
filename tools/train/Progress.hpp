// What the user sees while training: a bar on a terminal, plain lines elsewhere.
#pragma once

#include <chrono>
#include <cstdint>
#include <iosfwd>
#include <string>

namespace mpsvk::train {

struct ProgressState {
    uint32_t epoch = 0; ///< counted from 0
    uint32_t epochs = 0;
    uint32_t step = 0; ///< steps of this epoch that are done
    uint32_t steps = 0;
    double loss = 0;
    double accuracy = 0; ///< 0 … 1
    double imagesPerSecond = 0;
    double secondsLeft = 0;
};

/// "0:07", "12:34", "1:02:03"; negative or unknown: "-:--".
std::string durationText(double seconds);

/// A bar that is full when `done` is 1, and what stands beside it.
struct Bar {
    std::string left;
    double done = 0;
    std::string right;
};

/// One line of at most `width` characters: the bar shrinks first, then the end is cut.
std::string barLine(const Bar& bar, size_t width);
std::string progressLine(const ProgressState& state, size_t width);

class Progress {
public:
    Progress(std::ostream& out, bool terminal, size_t width);

    /// Redraws the bar at most ten times a second; does nothing off a terminal.
    void update(const Bar& bar);
    void update(const ProgressState& state);

    /// A line that stays; the bar, if any, goes below it.
    void line(const std::string& text);

private:
    std::ostream& out_;
    bool terminal_;
    size_t width_;
    bool barShown_ = false;
    std::chrono::steady_clock::time_point lastDrawn_{};
};

/// Whether standard output is a terminal, and how wide it is (80 if it does not say).
bool outputIsTerminal();
size_t terminalWidth();

} // namespace mpsvk::train
