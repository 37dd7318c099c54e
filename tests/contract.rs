//! Contracts and facts, judged: the format's own vectors, what every term does, and what may never
//! happen.

#[path = "contract/broken.rs"]
mod broken;
#[path = "contract/cases.rs"]
mod cases;
#[cfg(feature = "agent")]
#[path = "contract/claims.rs"]
mod claims;
#[path = "contract/commands.rs"]
mod commands;
#[path = "contract/foreign.rs"]
mod foreign;
#[path = "contract/letters.rs"]
mod letters;
#[path = "contract/measured.rs"]
mod measured;
#[path = "contract/properties.rs"]
mod properties;
#[cfg(feature = "agent")]
#[path = "contract/replay.rs"]
mod replay;
#[path = "contract/required.rs"]
mod required;
#[cfg(feature = "agent")]
#[path = "contract/rolled.rs"]
mod rolled;
#[path = "contract/rules.rs"]
mod rules;
#[path = "contract/shipped.rs"]
mod shipped;
#[path = "contract/signed.rs"]
mod signed;
#[path = "contract/support.rs"]
mod support;
#[path = "contract/terms.rs"]
mod terms;
#[path = "contract/vectors.rs"]
mod vectors;
#[path = "contract/versions.rs"]
mod versions;
#[cfg(feature = "agent")]
#[path = "contract/warnings.rs"]
mod warnings;
