//! What stores and operations fail with, as the failure of a command.

use crate::cli::Failure;
#[cfg(feature = "collector")]
use crate::collector::{StartError, archive::ArchiveError, operations::DeskError};
use crate::store::StoreError;
use crate::store::keyfile::KeyFault;

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Could(error.to_string())
    }
}

impl From<KeyFault> for Failure {
    fn from(fault: KeyFault) -> Self {
        Self::Could(fault.to_string())
    }
}

#[cfg(feature = "collector")]
impl From<ArchiveError> for Failure {
    fn from(error: ArchiveError) -> Self {
        Self::Could(error.to_string())
    }
}

#[cfg(feature = "collector")]
impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        Self::Could(error.to_string())
    }
}

#[cfg(feature = "collector")]
impl From<DeskError> for Failure {
    fn from(error: DeskError) -> Self {
        match error {
            DeskError::Invalid(_) => Self::Usage(error.to_string()),
            DeskError::Archive(_) | DeskError::NotFound(_) | DeskError::Conflict(_) => {
                Self::Could(error.to_string())
            }
        }
    }
}
