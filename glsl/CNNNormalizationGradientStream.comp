// dx = a - the sum of shares over the results around the pixel, by workgroups that walk down the rows:
// a = ps * dy * t^-beta, w = slope * a * (x - p0 * m) / t, and shares are x * w or (local contrast)
// share * a + w * (x - m). Windows are those of the pixels, mirrored. A pixel's row is complete when
// windows that end with its own have been walked through, and their results too: kernelHeight - 1 rows
// further down.
#version 450
#extension GL_GOOGLE_include_directive : require
#define REACH_X (kernelWidth - 1u)
#define REACH_Y (kernelHeight - 1u)
#define SUMS 2u
#include "windowStream.glsl"

IMAGE_SOURCE(2, gradient)
IMAGE_DESTINATION(3, destination)

Strip strip;
vec4 nextGradients[rowsEach], gradients[rowsEach];
// Rows of results, oldest first. Of each a the pixel's own is needed or (local contrast) all of them.
const uint keptAs = centred != 0u ? kernelHeight : rowsBefore + 1u;
const uint keptMeans = centred * (kernelHeight - 1u) + rowsEach;
vec4 ws[kernelHeight - 1u + rowsEach], as[keptAs - 1u + rowsEach], means[keptMeans];
// Local contrast has three sums to exchange and uses the same memory for them.
const uint firstSum = (1u - centred) * planeSize;


// With clamped edges: what the rows so far add to an edge, and where they end.
vec4 foldedRows = vec4(0.0);
int endRow;

bool hasResult(int x, int y) {
    return uint(x - p.startX) < p.resultsX && uint(y - p.startY) < p.resultsY;
}

bool isRead(int x, int y) {
    return uint(x - p.startX + int(columnsBefore)) < p.resultsX + kernelWidth - 1u &&
           uint(y - p.startY + int(rowsBefore)) < p.resultsY + kernelHeight - 1u;
}

// Of the results from row y on. Others than the strip needs are not read, nor are they of use.
void readGradient(int y) {
    int column = clamp(strip.column, strip.firstColumn - int(kernelWidth - 1u - columnsBefore),
                       strip.endColumn - 1 + int(columnsBefore));
    column = clamp(column - p.startX, 0, int(p.resultsX) - 1);
    EACH_NEXT(u) {
        int row = clamp(y + int(u), strip.firstRow - int(rowsAfter), strip.endRow - 1 + int(rowsBefore));
        row = clamp(row - p.startY, 0, int(p.resultsY) - 1);
        nextGradients[u] = gradient_load(p.gradient, p.gradientX + column, p.gradientY + row, strip.slice,
                                         strip.image);
    }
}

// `y`: the result's.
void addTerms(uint u, int y) {
    Statistics window = statisticsOf(u);
    vec4 t = fma(vec4(p.alpha), window.variance, vec4(p.delta));
    vec4 inverse, power = inversePower(t, betaWhole, betaQuarters, p.betaRest, inverse);
    vec4 a = p.ps * gradients[u] * power;
    vec4 w = p.slope * a * (xs[u + rowsBefore] - p.p0 * window.mean) * inverse;
    bvec4 counts = bvec4(hasResult(strip.column, y));
    as[keptAs - 1u + u] = mix(vec4(0.0), a, counts);
    ws[kernelHeight - 1u + u] = mix(vec4(0.0), w, counts);
    if (centred != 0u) means[kernelHeight - 1u + u] = window.mean;
}

// Of the results whose windows have the pixel of the invocation's column and of the row u of xs.
vec4 sumOfShares(uint u) {
    uint thread = gl_LocalInvocationID.x;
    vec4 x = xs[u], sum = vec4(0.0), shares = vec4(0.0), direct = vec4(0.0);
    EACH_ROW(j) {
        sum += ws[u + j];
        if (centred != 0u) {
            direct += as[u + j];
            shares = fma(ws[u + j], x - means[u + j], shares);
        }
    }
    columnSums[firstSum + margin + thread] = sum;
    if (centred != 0u) {
        columnSums[planeSize + margin + thread] = fma(vec4(p.share), direct, shares);
        columnSums[2u * planeSize + margin + thread] = x;
    }
    barrier();
    vec4 total = vec4(0.0);
    EACH_COLUMN(d) {
        // One further to the right where the window reaches further to the left.
        uint column = thread + (d + 1u - kernelWidth % 2u) * slicesTogether;
        if (centred == 0u) {
            total += columnSums[firstSum + column];
        } else { // the column's shares are those of its own pixel
            vec4 difference = x - columnSums[2u * planeSize + column];
            total += columnSums[planeSize + column];
            total = fma(columnSums[column], difference, total);
        }
    }
    return centred != 0u ? total : x * total;
}

void storeRow(int y, vec4 dx) {
    if (hasColumn(strip))
        destination_store(p.destination, p.clipX + strip.column - p.originX, p.clipY + y - p.originY,
                          strip.slice, strip.image, dx);
}

// Rows and columns beyond an edge belong to the edge's pixels. All of the workgroup must come here.
void foldRow(int y, vec4 dx) {
    int edge = int(p.source.height) - 1, row = clamp(y, 0, edge);
    if (row < strip.firstRow || row >= strip.endRow || y >= endRow) return; // all of them
    foldedRows += dx;
    if (y < 0 || (y >= edge && y < endRow - 1)) return;
    uint thread = gl_LocalInvocationID.x, lane = thread / slicesTogether;
    uint lanes = gl_WorkGroupSize.x / slicesTogether;
    columnSums[margin + thread] = foldedRows;
    barrier();
    uint first = strip.column == 0 ? 0u : lane;
    uint end = strip.column == int(p.source.width) - 1 ? lanes : lane + 1u;
    vec4 sum = vec4(0.0);
    for (uint i = first; i < end; ++i)
        sum += columnSums[margin + i * slicesTogether + thread % slicesTogether];
    storeRow(row, sum);
    foldedRows = vec4(0.0);
    barrier();
}

// `y`: the newest row's.
void finishRow(uint u, int y) {
    addTerms(u, y - int(rowsAfter));
    if (centred != 0u) barrier();
    vec4 dx = as[keptAs - 1u + u - rowsBefore] - sumOfShares(u);
    if (centred != 0u) barrier();
    y -= int(kernelHeight - 1u);
    if (p.clampEdges != 0u)
        foldRow(y, dx);
    else if (y >= strip.firstRow && y < strip.endRow)
        storeRow(y, mix(vec4(0.0), dx, bvec4(inside(p.source, strip.column, y))));
}

void moveTerms() {
    [[unroll]] for (uint j = 0u; j + 1u < kernelHeight; ++j) ws[j] = ws[j + rowsEach];
    [[unroll]] for (uint j = 0u; j + 1u < keptAs; ++j) as[j] = as[j + rowsEach];
    if (centred != 0u)
        [[unroll]] for (uint j = 0u; j + 1u < kernelHeight; ++j) means[j] = means[j + rowsEach];
}

void main() {
    strip = stripOf();
    if (strip.image >= p.images) return; // the whole workgroup
    clearSums();
    EACH_ROW(j) ws[j] = vec4(0.0);
    [[unroll]] for (uint j = 0u; j < keptAs; ++j) as[j] = vec4(0.0);
    [[unroll]] for (uint j = 0u; j < keptMeans; ++j) means[j] = vec4(0.0);
    bool reachesEdge = strip.endRow == int(p.source.height);
    endRow = p.clampEdges != 0u && reachesEdge ? p.endRow : strip.endRow;
    int last = endRow - 1 + int(kernelHeight - 1u);
    readSource(strip, strip.row, last);
    readGradient(strip.row - int(rowsAfter));
    for (int row = strip.row; row <= last; row += int(rowsEach)) {
        takeSource();
        EACH_NEXT(u) // What a pixel holds that no result reads does not matter.
            if (!isRead(strip.column, row + int(u))) xs[kernelHeight - 1u + u] = vec4(0.0);
        EACH_NEXT(u) gradients[u] = nextGradients[u];
        readSource(strip, row + int(rowsEach), last);
        readGradient(row + int(rowsEach) - int(rowsAfter));
        finishRow(0u, row);
        if (rowsEach > 1u) finishRow(1u, row + 1);
        if (rowsEach > 2u) finishRow(2u, row + 2);
        if (rowsEach > 3u) finishRow(3u, row + 3);
        moveSource();
        moveTerms();
    }
}
