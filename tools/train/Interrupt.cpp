#include "Interrupt.hpp"

#include <csignal>

namespace mpsvk::train {

namespace {

volatile std::sig_atomic_t requested = 0;

void onSignal(int signal) {
    requested = 1;
    std::signal(signal, SIG_DFL);
}

} // namespace

void watchForInterrupt() {
    std::signal(SIGINT, onSignal);
    std::signal(SIGTERM, onSignal);
}

bool interruptRequested() { return requested != 0; }

} // namespace mpsvk::train
