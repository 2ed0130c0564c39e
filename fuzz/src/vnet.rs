//! What a peer of the virtual network sends.

use frp_vnet::framing::Frames;
use frp_vnet::packet::Packet;
use frp_vnet::through_the_device;

/// A stream of frames, whose packets are given to the device. The first byte says where the network cuts the
/// stream.
pub fn packets(data: &[u8]) {
    let Some((&first, stream)) = data.split_first() else {
        return;
    };
    let mut frames = Frames::default();
    let mut whole = Vec::new();
    for mut piece in stream.chunks(usize::from(first) * 8 + 1) {
        while !piece.is_empty() {
            let room = frames.room();
            let (now, later) = piece.split_at(room.len().min(piece.len()));
            if let Some(room) = room.get_mut(..now.len()) {
                room.copy_from_slice(now);
            }
            frames.came(now.len());
            piece = later;
            loop {
                match frames.next() {
                    Ok(Some(frame)) => {
                        whole.extend(Packet::parse(frame).map(|it| it.bytes.to_vec()))
                    }
                    Ok(None) => break,
                    Err(_) => return,
                }
            }
        }
    }
    let packets: Vec<&[u8]> = whole.iter().map(Vec::as_slice).collect();
    let written = through_the_device(&packets);
    let bytes = |all: &[&[u8]]| all.iter().map(|packet| packet.len()).sum::<usize>();
    let again: Vec<&[u8]> = written.iter().map(Vec::as_slice).collect();
    assert_eq!(
        (again.len(), bytes(&again)),
        (packets.len(), bytes(&packets))
    );
}
