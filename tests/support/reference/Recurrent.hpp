#pragma once
// Recurrent layers over a sequence. Row r of each time step belongs to sequence r; there are never
// more rows than in the step before.

#include "Neuron.hpp"

#include <array>

namespace mpsvk::reference {

enum class RecurrentKind { SingleGate, LSTM, GRU };

// Empty arrays are zeros. W is [output][input], U and V are [output][output], a diagonal V is
// [output].
struct RecurrentGate {
    std::vector<double> w, u, v, b;
    Neuron neuron;
};

// Gates: of the LSTM input, forget, cell, output; of the GRU input, recurrent, output, whose u and
// v multiply r * h0 and z * h0.
struct Recurrent {
    RecurrentKind kind = RecurrentKind::SingleGate;
    std::size_t inputs = 1, outputs = 1;
    std::array<RecurrentGate, 4> gates;
    bool identityInputs = false, diagonal = false, flip = false;
    double pNorm = 1;
    Neuron cellToOutput{NeuronType::TanH, 1, 1, 1};

    std::size_t gateCount() const {
        return kind == RecurrentKind::SingleGate ? 1 : kind == RecurrentKind::LSTM ? 4 : 3;
    }
};

using Steps = std::vector<std::vector<double>>; // [time][row][channel]

struct RecurrentResult {
    Steps outputs, cells;
    std::vector<double> lastOutput, lastCell; // each sequence's own
};

// Empty initial states are zeros.
RecurrentResult forward(const Recurrent& layer, const Steps& sources,
                        const std::vector<double>& initialOutput = {},
                        const std::vector<double>& initialCell = {});

} // namespace mpsvk::reference
