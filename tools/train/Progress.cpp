#include "Progress.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ostream>
#ifdef _WIN32
#include <io.h>
#else
#include <sys/ioctl.h>
#include <unistd.h>
#endif

namespace mpsvk::train {

namespace {

template <typename... Values> std::string format(const char* pattern, Values... values) {
    char text[160];
    std::snprintf(text, sizeof text, pattern, values...);
    return text;
}

} // namespace

std::string durationText(double seconds) {
    if (!(seconds >= 0) || seconds > 1e7) return "-:--";
    const auto whole = static_cast<unsigned>(std::lround(seconds));
    const unsigned hours = whole / 3600, minutes = whole / 60 % 60, rest = whole % 60;
    return hours > 0 ? format("%u:%02u:%02u", hours, minutes, rest)
                     : format("%u:%02u", minutes, rest);
}

std::string progressLine(const ProgressState& state, size_t width) {
    const std::string epochs = std::to_string(state.epochs);
    const std::string left =
        format("Epoch %*u/%s ", static_cast<int>(epochs.size()), state.epoch + 1, epochs.c_str());
    const std::string right = format("  loss %6.4f  accuracy %5.1f %%  %.0f images/s  ", state.loss,
                                     100 * state.accuracy, state.imagesPerSecond) +
                              durationText(state.secondsLeft) + " left";
    std::string bar;
    const size_t used = left.size() + right.size() + 2;
    if (width > used + 4) {
        const size_t length = std::min<size_t>(width - used, 30);
        const size_t filled = state.steps == 0 ? 0 : length * state.step / state.steps;
        bar = "[" + std::string(filled, '=') + (filled < length ? ">" : "");
        bar += std::string(length + 1 - bar.size(), ' ') + "]";
    }
    return (left + bar + right).substr(0, width);
}

Progress::Progress(std::ostream& out, bool terminal, size_t width)
    : out_(out), terminal_(terminal), width_(width) {}

void Progress::update(const ProgressState& state) {
    if (!terminal_) return;
    const auto now = std::chrono::steady_clock::now();
    if (barShown_ && now - lastDrawn_ < std::chrono::milliseconds(100)) return;
    lastDrawn_ = now;
    barShown_ = true;
    // The last column stays free: some terminals wrap when it is written.
    out_ << "\r\033[K" << progressLine(state, width_ - 1) << std::flush;
}

void Progress::line(const std::string& text) {
    if (barShown_) out_ << "\r\033[K";
    barShown_ = false;
    out_ << text << '\n' << std::flush;
}

bool outputIsTerminal() {
#ifdef _WIN32
    return _isatty(_fileno(stdout)) != 0;
#else
    return isatty(STDOUT_FILENO) != 0;
#endif
}

size_t terminalWidth() {
#ifndef _WIN32
    winsize size{};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
#endif
    return 80;
}

} // namespace mpsvk::train
