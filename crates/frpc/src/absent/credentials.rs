//! Why there are no credentials to log in with: in a build with the token only, there always are.

use super::explained::Explained;
use crate::auth::CredentialError;

pub(super) fn explain(error: &CredentialError) -> Explained {
    match *error {}
}
