// A step of cooperative.glsl: the chunks in nextLeft and nextRight go to shared memory, later ones are loaded
// into both, and the products are added to `sums`.
[[unroll]] for (uint i = 0u; i < leftChunks; ++i)
    chunkStore(0u, leftSize, COOPERATIVE_PLACE(i, leftAlong, tileRows, leftAcrossPitch),
               LEFT_STORED(nextLeft[i]));
[[unroll]] for (uint i = 0u; i < rightChunks; ++i)
    chunkStore(rightBase, rightSize,
               COOPERATIVE_PLACE(i, rightAlong, tileColumns, rightAcrossPitch),
               nextRight[i]);
if (!advancesAmidProducts) advance();
barrier();
COOPERATIVE_LOADS(nextLeft, nextRight)
if (advancesAmidProducts) advance();
// By shares of both operands: low * high, high * low, high * high. Left ones stay in registers.
[[unroll]] for (uint e = 0u; e < ownDepth / 16u * products; ++e) {
    uint k = level * ownDepth + e / products * 16u, product = e % products;
    uint left = product + 1u < shares ? leftSize : 0u;
    uint right = rightBase + (product == 1u ? rightSize : 0u);
    coopmat<float16_t, gl_ScopeSubgroup, 16, 16, gl_MatrixUseA> a[blocksDown];
    [[unroll]] for (uint i = 0u; i < blocksDown; ++i) {
        if (leftAlong)
            coopMatLoad(a[i], tiles, left + (firstRow + 16u * i) * alongPitch + k / 8u,
                        alongPitch, gl_CooperativeMatrixLayoutRowMajor);
        else
            coopMatLoad(a[i], tiles, left + k * leftAcrossPitch + (firstRow + 16u * i) / 8u,
                        leftAcrossPitch, gl_CooperativeMatrixLayoutColumnMajor);
    }
    [[unroll]] for (uint j = 0u; j < blocksAcross; ++j) {
        coopmat<float16_t, gl_ScopeSubgroup, 16, 16, gl_MatrixUseB> b;
        if (rightAlong)
            coopMatLoad(b, tiles, right + (firstColumn + 16u * j) * alongPitch + k / 8u,
                        alongPitch, gl_CooperativeMatrixLayoutColumnMajor);
        else
            coopMatLoad(b, tiles, right + k * rightAcrossPitch + (firstColumn + 16u * j) / 8u,
                        rightAcrossPitch, gl_CooperativeMatrixLayoutRowMajor);
        [[unroll]] for (uint i = 0u; i < blocksDown; ++i)
            sums[i][j] = coopMatMulAdd(a[i], b, sums[i][j]);
    }
}
barrier();
