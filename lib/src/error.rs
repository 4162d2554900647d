//! The error that every public operation ends in: one variant per room, each with the room's own error as its source.
