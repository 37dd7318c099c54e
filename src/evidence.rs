//! What can be proven: summaries, signatures, chains, receipts.
