//! The one scenario suite with its two drivers, the oracle of the promises and the fault matrix.
