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

namespace {

Bar barOf(const ProgressState& state) {
    const std::string epochs = std::to_string(state.epochs);
    return {
        format("Epoch %*u/%s ", static_cast<int>(epochs.size()), state.epoch + 1, epochs.c_str()),
        state.steps == 0 ? 0 : static_cast<double>(state.step) / state.steps,
        format("  loss %6.4f  accuracy %5.1f %%  %.0f images/s  ", state.loss, 100 * state.accuracy,
               state.imagesPerSecond) +
            durationText(state.secondsLeft) + " left"};
}

} // namespace

std::string barLine(const Bar& bar, size_t width) {
    std::string drawn;
    const size_t used = bar.left.size() + bar.right.size() + 2;
    if (width > used + 4) {
        const size_t length = std::min<size_t>(width - used, 30);
        const double done = std::clamp(bar.done, 0.0, 1.0);
        const auto filled = static_cast<size_t>(static_cast<double>(length) * done + 1e-9);
        drawn = "[" + std::string(filled, '=') + (filled < length ? ">" : "");
        drawn += std::string(length + 1 - drawn.size(), ' ') + "]";
    }
    return (bar.left + drawn + bar.right).substr(0, width);
}

std::string progressLine(const ProgressState& state, size_t width) {
    return barLine(barOf(state), width);
}

Progress::Progress(std::ostream& out, bool terminal, size_t width)
    : out_(out), terminal_(terminal), width_(width) {}

void Progress::update(const ProgressState& state) { update(barOf(state)); }

void Progress::update(const Bar& bar) {
    if (!terminal_) return;
    const auto now = std::chrono::steady_clock::now();
    if (barShown_ && now - lastDrawn_ < std::chrono::milliseconds(100)) return;
    lastDrawn_ = now;
    barShown_ = true;
    // The last column stays free: some terminals wrap when it is written.
    out_ << "\r\033[K" << barLine(bar, width_ - 1) << std::flush;
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
