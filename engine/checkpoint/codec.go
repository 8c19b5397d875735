package checkpoint

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/zeebo/xxh3"
)

// Version is the manifest format that Encode writes. A field may be added within a version if old programs may ignore it, anything else makes a new
// one. Decode reads version 1 too. 2: operators say in what form their state is, and a task's files may be runs above a base, without which a
// program that knew bases only would go back behind what they hold.
const Version = 2

// ManifestBytesMax bounds a manifest: 256 MiB, beyond which an operator keeps in its own state what belongs into keyed state.
const ManifestBytesMax = 256 << 20

// The kinds of what cannot be read; errors.Is decides.
var (
	// ErrCorrupt says that a manifest is torn, damaged or none.
	ErrCorrupt = errors.New("checkpoint: manifest is corrupt")
	// ErrVersion says that it is whole, and of a version that this program does not know.
	ErrVersion = errors.New("checkpoint: manifest is of an unknown version")
)

// The header, little-endian: magic [8], version uint32, zero uint32, body length uint64, XXH3-64 of the body uint64, XXH3-64 of the 32 bytes
// before uint64. It stays as it is over versions.
const (
	magic       = "BRMBLCP\n"
	headerBytes = 40
)

// Encode validates m and returns its bytes. The order of operators and tasks in m becomes that of their IDs and indexes.
func Encode(m *Manifest) ([]byte, error) {
	m.sort()
	if err := m.Validate(); err != nil {
		return nil, fmt.Errorf("encode manifest of epoch %d: %w", m.Epoch, err)
	}
	body, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode manifest of epoch %d: %w", m.Epoch, err)
	}
	if len(body) > ManifestBytesMax-headerBytes {
		return nil, fmt.Errorf("encode manifest of epoch %d: %d bytes are more than %d", m.Epoch, len(body), int64(ManifestBytesMax))
	}
	return encodeRaw(Version, body), nil
}

// encodeRaw puts the header before the body.
func encodeRaw(version uint32, body []byte) []byte {
	b := make([]byte, 0, headerBytes+len(body))
	b = append(b, magic...)
	b = binary.LittleEndian.AppendUint32(b, version)
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(body)))
	b = binary.LittleEndian.AppendUint64(b, xxh3.Hash(body))
	b = binary.LittleEndian.AppendUint64(b, xxh3.Hash(b))
	return append(b, body...)
}

// Decode reads what Encode wrote. Its errors are ErrCorrupt or ErrVersion.
func Decode(b []byte) (*Manifest, error) {
	if len(b) < headerBytes {
		return nil, fmt.Errorf("%w: %d bytes are no header", ErrCorrupt, len(b))
	}
	if string(b[:8]) != magic {
		return nil, fmt.Errorf("%w: it does not begin as one", ErrCorrupt)
	}
	if sum := binary.LittleEndian.Uint64(b[32:]); sum != xxh3.Hash(b[:32]) {
		return nil, fmt.Errorf("%w: checksum of the header", ErrCorrupt)
	}
	version, size := binary.LittleEndian.Uint32(b[8:]), binary.LittleEndian.Uint64(b[16:])
	body := b[headerBytes:]
	if size != uint64(len(body)) {
		return nil, fmt.Errorf("%w: %d bytes of %d", ErrCorrupt, len(body), size)
	}
	if binary.LittleEndian.Uint64(b[24:]) != xxh3.Hash(body) {
		return nil, fmt.Errorf("%w: checksum of the body", ErrCorrupt)
	}
	if version < 1 || version > Version {
		return nil, fmt.Errorf("%w: %d, where this program knows up to %d: a newer Bramble wrote it", ErrVersion, version, Version)
	}
	m := &Manifest{}
	if err := json.Unmarshal(body, m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if err := m.Validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return m, nil
}
