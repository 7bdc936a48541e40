// Ctrl-C and SIGTERM ask the training loop to stop; a second one ends the program at once.
#pragma once

namespace mpsvk::train {

void watchForInterrupt();
bool interruptRequested();

} // namespace mpsvk::train
