//! A codec whose requests are encoded already, by whoever calls, so that asking again costs no copy.

use std::marker::PhantomData;

use bytes::{BufMut as _, Bytes};
use prost::Message;
use tonic::Status;
use tonic::codec::{Codec, EncodeBuf, Encoder};
use tonic_prost::ProstDecoder;

/// Requests as bytes, answers as messages.
pub(crate) struct Encoded<A>(PhantomData<A>);

impl<A> Default for Encoded<A> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<A: Message + Default + 'static> Codec for Encoded<A> {
    type Encode = Bytes;
    type Decode = A;
    type Encoder = Put;
    type Decoder = ProstDecoder<A>;

    fn encoder(&mut self) -> Put {
        Put
    }

    fn decoder(&mut self) -> ProstDecoder<A> {
        ProstDecoder::default()
    }
}

/// Writes what is encoded already.
pub(crate) struct Put;

impl Encoder for Put {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, bytes: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(bytes);
        Ok(())
    }
}
