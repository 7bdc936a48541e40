// y = f(gamma * (x - mean) / sqrt(variance + epsilon) + beta), and the statistics before it. The
// grid is (blocks of columns, parts of the rows, matrices); a workgroup is `lanes` invocations side
// by side, in rows.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "matrixBatchNormalization.glsl"

layout(local_size_x = 256) in;
MATRIX_DESTINATION(3, mean)
MATRIX_DESTINATION(4, variance)
MATRIX_DESTINATION(7, first)
MATRIX_DESTINATION(8, second)

// Of four columns: how many values, their means, and the sums of squared differences from them.
struct Moments {
    float count;
    vec4 mean, squares;
};

shared float counts[256];
shared vec4 means[256], squares[256];

// The method of Welford for one more value, that of Chan for more: no difference of large sums. The
// first value is the mean itself, so that equal ones have no variance.
void add(inout Moments m, vec4 x) {
    m.count += 1.0;
    vec4 difference = x - m.mean;
    m.mean = m.count == 1.0 ? x : m.mean + difference * (1.0 / m.count);
    m.squares += difference * (x - m.mean);
}

void merge(inout Moments m, Moments other) {
    if (other.count == 0.0) return;
    if (m.count == 0.0) {
        m = other;
        return;
    }
    float count = m.count + other.count;
    vec4 difference = other.mean - m.mean;
    float share = other.count / count;
    m.mean += difference * share;
    m.squares += other.squares + difference * difference * (m.count * share);
    m.count = count;
}

// Less `pivot`, a value among them, so that those far from zero are as exact as those near it.
Moments ofRows(uint matrix, uint begin, uint end, uint step, uint column, vec4 pivot) {
    Moments m = Moments(0.0, vec4(0.0), vec4(0.0));
    for (uint row = begin; row < end; row += step) {
        if (work == normalizationMerge)
            merge(m, Moments(float(min(p.splitRows, p.source.rows - row * p.splitRows)),
                             first_load4(p.first, matrix, row, column),
                             second_load4(p.second, matrix, row, column)));
        else
            add(m, source_load4(p.source, matrix, row, column) - pivot);
    }
    return m;
}

// Of the invocation's columns, in all rows of invocations.
Moments ofWorkgroup(Moments m) {
    uint i = gl_LocalInvocationIndex;
    for (uint rest = 128u; rest >= p.lanes; rest /= 2u) {
        if (i >= rest && i < 2u * rest) {
            counts[i] = m.count;
            means[i] = m.mean;
            squares[i] = m.squares;
        }
        barrier();
        if (i < rest) merge(m, Moments(counts[i + rest], means[i + rest], squares[i + rest]));
    }
    if (i < p.lanes) {
        counts[i] = m.count;
        means[i] = m.mean;
        squares[i] = m.squares;
    }
    barrier();
    i %= p.lanes;
    return Moments(counts[i], means[i], squares[i]);
}

// As the type of a vector keeps it.
vec4 kept(uint storage, vec4 v) {
    if (storage == MATRIX_FLOAT32) return v;
    // A compiler may take what is unpacked for what was packed unless something happens to the word in
    // between: lanes are never 0.
    uint none = uint(p.lanes == 0u);
    return vec4(unpackHalf2x16(packHalf2x16(v.xy) | none), unpackHalf2x16(packHalf2x16(v.zw) | none));
}

void main() {
    uint i = gl_LocalInvocationIndex, part = gl_WorkGroupID.y, matrix = gl_WorkGroupID.z;
    uint column = (gl_WorkGroupID.x * p.lanes + i % p.lanes) * 4u, step = 256u / p.lanes;
    bool exists = column < p.source.columns;
    uint begin = part * p.splitRows + i / p.lanes;
    uint end = min((part + 1u) * p.splitRows, p.source.rows);
    vec4 center = vec4(0.0), spread = vec4(0.0);
    if (work != normalizationResult) {
        uint from = work == normalizationMerge ? i / p.lanes : begin;
        uint to = work == normalizationMerge ? p.first.rows : end;
        vec4 pivot = exists ? source_load4(p.source, matrix, 0u, column) : vec4(0.0);
        Moments m = ofWorkgroup(ofRows(matrix, from, exists ? to : from, step, column, pivot));
        if (work == normalizationPart) {
            if (i >= p.lanes || !exists) return;
            first_store4(p.first, matrix, part, column, m.mean);
            second_store4(p.second, matrix, part, column, m.squares);
            return;
        }
        center = kept(mean_type, pivot + m.mean);
        spread = kept(variance_type, m.squares / m.count);
        if (i < p.lanes && exists) {
            mean_store4(p.mean, matrix, 0u, column, center);
            variance_store4(p.variance, matrix, 0u, column, spread);
        }
        if (work == normalizationMerge) return;
    } else if (exists) {
        center = mean_load4(p.mean, matrix, 0u, column);
        spread = variance_load4(p.variance, matrix, 0u, column);
    }
    if (!exists) return;
    Channels c = channelsAt(matrix, column, center, spread);
    for (uint row = begin; row < end; row += step) {
        vec4 x = c.gamma * normalized(c, matrix, row, column) + c.beta;
        result_store4(p.result, matrix, row, column,
                      neuronForward(type, x, vec4(p.a), vec4(p.b), vec4(p.c)));
    }
}
