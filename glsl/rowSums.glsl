// A workgroup of 256 as rows of `lanes` invocations (a power of two): the sum of a column.
shared vec4 rowValues[256];

// Of the invocation's column, in the first `lanes` invocations. All of the workgroup must call.
vec4 sumOfRows(vec4 value, uint lanes) {
    uint i = gl_LocalInvocationID.x;
    rowValues[i] = value;
    for (uint rest = 128u; rest >= lanes; rest /= 2u) {
        barrier();
        if (i < rest) {
            rowValues[i] += rowValues[i + rest];
        }
    }
    barrier();
    return rowValues[i % lanes];
}
