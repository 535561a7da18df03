//! How a record is sealed: XChaCha20-Poly1305 over its bytes, bound to its session, its version and its key.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{Tag, XNonce};
use zeroize::Zeroizing;

use crate::id::SessionId;
use crate::store::error::StoreError;
use crate::store::record::{Content, Record};
use crate::store::sealed::key::SealingKey;
use crate::store::sealed_content::SealedContent;

/// Long enough to be drawn at random each time, without counting.
const NONCE: usize = 24;
const TAG: usize = 16;

/// What is said before everything else that a tag vouches for, so that it vouches for nothing of another kind.
const PURPOSE: &[u8] = b"reqwest-auth-refresh sealed record 1\0";

/// The record as it is without the key: whose it is, its version, the key's name, and noise.
pub(crate) fn seal(record: &Record, id: &SessionId, key: &SealingKey) -> Result<Record, StoreError> {
    let bound = bound_to(id, record, key.id());
    let bytes = record.to_bytes();
    let mut nonce = [0; NONCE];
    getrandom::fill(&mut nonce).map_err(StoreError::unavailable)?;
    let mut sealed = Zeroizing::new(Vec::with_capacity(NONCE + bytes.len() + TAG));
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(&bytes);
    let tag = key
        .cipher()
        .encrypt_inout_detached(&XNonce::from(nonce), &bound, (&mut sealed[NONCE..]).into())
        .map_err(|_says_nothing| StoreError::unavailable("the record is too long to be sealed"))?;
    sealed.extend_from_slice(&tag);
    let content = SealedContent { key: key.name().clone(), text: STANDARD_NO_PAD.encode(&*sealed) };
    let sealed = Record::new(record.session().clone(), record.version(), Content::Sealed(content));
    Ok(sealed.belonging_to(record.registration().map(Arc::from)))
}

/// The record that was sealed for this session, under this version, with this key; nothing else opens.
pub(crate) fn open(
    outside: &Record,
    sealed: &SealedContent,
    id: &SessionId,
    key: &SealingKey,
) -> Result<Record, StoreError> {
    let refused = || StoreError::unreadable("the sealed record is not what was sealed here with that key");
    let bytes = STANDARD_NO_PAD.decode(&sealed.text).map_err(|_quoting| refused())?;
    let mut bytes = Zeroizing::new(bytes);
    let (nonce, rest) = bytes.split_first_chunk_mut::<NONCE>().ok_or_else(refused)?;
    let (text, tag) = rest.split_last_chunk_mut::<TAG>().ok_or_else(refused)?;
    key.cipher()
        .decrypt_inout_detached(
            &XNonce::from(*nonce),
            &bound_to(id, outside, key.id()),
            (&mut *text).into(),
            &Tag::from(*tag),
        )
        .map_err(|_says_nothing| refused())?;
    Record::from_bytes(text)
}

/// What the tag vouches for beside the record: all that stands in clear, but for the key's fingerprint, which is that of the
/// key which opens it. Each part has a length that is fixed or said.
fn bound_to(id: &SessionId, outside: &Record, key: &str) -> Vec<u8> {
    let version = outside.version();
    let mut bound = PURPOSE.to_vec();
    bound.extend_from_slice(&version.login.to_bits().to_be_bytes());
    bound.extend_from_slice(&version.generation.to_be_bytes());
    bound.push(u8::from(outside.registration().is_some()));
    for text in [key, id.as_str(), outside.session().as_str(), outside.registration().unwrap_or_default()] {
        bound.extend_from_slice(&u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
        bound.extend_from_slice(text.as_bytes());
    }
    bound
}
