#include "Recurrent.hpp"

#include <algorithm>
#include <cmath>

namespace mpsvk::reference {
namespace {

using Row = std::vector<double>;

// m * x, for an empty m zeros.
void addProduct(Row& sum, const std::vector<double>& m, const Row& x) {
    if (m.empty()) {
        return;
    }
    for (std::size_t o = 0; o < sum.size(); ++o) {
        for (std::size_t i = 0; i < x.size(); ++i) {
            sum[o] += m.at(o * x.size() + i) * x[i];
        }
    }
}

Row times(const Row& a, const Row& b) {
    Row product = a;
    for (std::size_t i = 0; i < a.size(); ++i) {
        product[i] *= b[i];
    }
    return product;
}

Row activated(const Neuron& neuron, Row x) {
    for (std::size_t i = 0; i < x.size(); ++i) {
        x[i] = value(neuron, x[i], i);
    }
    return x;
}

struct Step {
    const Recurrent& layer;

    Row inputSum(std::size_t gate, const Row& x) const {
        Row sum(layer.outputs);
        const RecurrentGate& g = layer.gates[gate];
        if (layer.identityInputs) {
            sum = x;
        } else {
            addProduct(sum, g.w, x);
        }
        for (std::size_t i = 0; i < g.b.size(); ++i) {
            sum[i] += g.b[i];
        }
        return sum;
    }

    Row gate(std::size_t index, const Row& x, const Row& h, const Row& cell) const {
        const RecurrentGate& g = layer.gates[index];
        Row sum = inputSum(index, x);
        addProduct(sum, g.u, h);
        if (layer.diagonal && !g.v.empty()) {
            for (std::size_t i = 0; i < sum.size(); ++i) {
                sum[i] += g.v[i] * cell[i];
            }
        } else if (!cell.empty()) {
            addProduct(sum, g.v, cell);
        }
        return activated(g.neuron, sum);
    }

    void advance(const Row& x, Row& h, Row& c) const {
        if (layer.kind == RecurrentKind::SingleGate) {
            h = gate(0, x, h, {});
        } else if (layer.kind == RecurrentKind::LSTM) {
            const Row input = gate(0, x, h, c), forget = gate(1, x, h, c), cell = gate(2, x, h, c);
            Row next = times(forget, c);
            const Row added = times(input, cell);
            for (std::size_t i = 0; i < next.size(); ++i) {
                next[i] += added[i];
            }
            const Row output = gate(3, x, h, next);
            c = next;
            h = times(output, activated(layer.cellToOutput, c));
        } else {
            const Row z = gate(0, x, h, {}), r = gate(1, x, h, {});
            Row sum = inputSum(2, x);
            addProduct(sum, layer.gates[2].u, times(r, h));
            addProduct(sum, layer.gates[2].v, times(z, h));
            const Row candidate = activated(layer.gates[2].neuron, sum);
            for (std::size_t i = 0; i < h.size(); ++i) {
                const double k = std::pow(1 - std::pow(z[i], layer.pNorm), 1 / layer.pNorm);
                h[i] = layer.flip ? k * h[i] + z[i] * candidate[i] : k * candidate[i] + z[i] * h[i];
            }
        }
    }
};

} // namespace

RecurrentResult forward(const Recurrent& layer, const Steps& sources, const Row& initialOutput,
                        const Row& initialCell) {
    const std::size_t out = layer.outputs;
    RecurrentResult result;
    const std::size_t sequences = sources.at(0).size() / layer.inputs;
    result.lastOutput.resize(sequences * out);
    result.lastCell.resize(sequences * out);
    std::copy_n(initialOutput.begin(), std::min(initialOutput.size(), sequences * out),
                result.lastOutput.begin());
    std::copy_n(initialCell.begin(), std::min(initialCell.size(), sequences * out),
                result.lastCell.begin());
    for (const Row& source : sources) {
        const std::size_t rows = source.size() / layer.inputs;
        require(rows <= sequences, "Sequences are sorted, the longest first.");
        for (std::size_t r = 0; r < rows; ++r) {
            const auto part = [&](const Row& all, std::size_t width) {
                return Row(all.begin() + r * width, all.begin() + (r + 1) * width);
            };
            Row h = part(result.lastOutput, out), c = part(result.lastCell, out);
            Step{layer}.advance(part(source, layer.inputs), h, c);
            std::copy(h.begin(), h.end(), result.lastOutput.begin() + r * out);
            std::copy(c.begin(), c.end(), result.lastCell.begin() + r * out);
        }
        result.outputs.emplace_back(result.lastOutput.begin(),
                                    result.lastOutput.begin() + rows * out);
        result.cells.emplace_back(result.lastCell.begin(), result.lastCell.begin() + rows * out);
    }
    return result;
}

} // namespace mpsvk::reference
