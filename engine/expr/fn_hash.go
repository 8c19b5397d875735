package expr

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/bramble-stream/bramble/engine/vec"
)

// hashFunc registers a hash of a STRING or BYTES, shown as lower-case hexadecimal digits.
func hashFunc(name string, sum func(dst, s []byte) []byte) struct{} {
	return register(Func{
		Name: name, Usage: name + "(string or bytes)", Min: 1, Max: 1, Bind: bindBinary(vec.TypeString),
		Build: Always(StringRows(func(args []Arg, i int, dst []byte) ([]byte, bool, error) {
			return sum(dst, args[0].Bytes(i)), true, nil
		})),
	})
}

func sumSHA224(dst, s []byte) []byte {
	h := sha256.Sum224(s)
	return hex.AppendEncode(dst, h[:])
}

func sumSHA256(dst, s []byte) []byte {
	h := sha256.Sum256(s)
	return hex.AppendEncode(dst, h[:])
}

func sumSHA384(dst, s []byte) []byte {
	h := sha512.Sum384(s)
	return hex.AppendEncode(dst, h[:])
}

func sumSHA512(dst, s []byte) []byte {
	h := sha512.Sum512(s)
	return hex.AppendEncode(dst, h[:])
}

var (
	_ = hashFunc("MD5", func(dst, s []byte) []byte {
		h := md5.Sum(s)
		return hex.AppendEncode(dst, h[:])
	})
	_ = hashFunc("SHA1", func(dst, s []byte) []byte {
		h := sha1.Sum(s)
		return hex.AppendEncode(dst, h[:])
	})
	_ = hashFunc("SHA224", sumSHA224)
	_ = hashFunc("SHA256", sumSHA256)
	_ = hashFunc("SHA384", sumSHA384)
	_ = hashFunc("SHA512", sumSHA512)
	_ = register(Func{Name: "SHA2", Usage: "SHA2(string or bytes, 224, 256, 384 or 512)", Flags: MayNull, Min: 2, Max: 2, Bind: bindSHA2, Build: buildSHA2})
	_ = register(Func{
		Name: "CRC32", Usage: "CRC32(string or bytes)", Min: 1, Max: 1, Bind: bindBinary(vec.TypeInt64),
		Build: Always(FixedRows(func(args []Arg, i int) (int64, bool, error) {
			return int64(crc32.ChecksumIEEE(args[0].Bytes(i))), true, nil
		})),
	})
	_ = register(Func{Name: "UUID", Usage: "UUID()", Flags: Volatile, Bind: func([]*Expr) (vec.Type, error) { return vec.TypeString, nil }, Build: buildUUID})
)

func bindSHA2(args []*Expr) (vec.Type, error) {
	t, err := bindBinary(vec.TypeString)(args)
	if err != nil {
		return t, err
	}
	if err := coerce(args, 1, vec.TypeInt32); err != nil {
		return t, err
	}
	if v, ok := Literal(args[1]); ok && v != nil && v != int64(224) && v != int64(256) && v != int64(384) && v != int64(512) {
		return t, fmt.Errorf("the length of SHA2 is 224, 256, 384 or 512, not %v", v)
	}
	return t, nil
}

// buildSHA2 fails rows with a length that does not exist.
func buildSHA2(*Site) (Kernel, error) {
	return StringRows(func(args []Arg, i int, dst []byte) ([]byte, bool, error) {
		s := args[0].Bytes(i)
		switch n := At[int32](args[1], i); n {
		case 224:
			return sumSHA224(dst, s), true, nil
		case 256:
			return sumSHA256(dst, s), true, nil
		case 384:
			return sumSHA384(dst, s), true, nil
		case 512:
			return sumSHA512(dst, s), true, nil
		default:
			return nil, false, fmt.Errorf("the length of SHA2 is 224, 256, 384 or 512, not %d", n)
		}
	}), nil
}

// buildUUID makes a version 4 UUID for each row.
func buildUUID(s *Site) (Kernel, error) {
	if s.Env.Rand == nil {
		return nil, errors.New("there is no source of randomness here")
	}
	random := s.Env.Rand
	var raw [16]byte
	return StringRows(func(_ []Arg, _ int, dst []byte) ([]byte, bool, error) {
		if _, err := io.ReadFull(random, raw[:]); err != nil {
			return nil, false, fmt.Errorf("read random bytes: %w", err)
		}
		raw[6] = raw[6]&0x0F | 0x40
		raw[8] = raw[8]&0x3F | 0x80
		for k, end := range []int{4, 6, 8, 10, 16} {
			if k > 0 {
				dst = append(dst, '-')
			}
			dst = hex.AppendEncode(dst, raw[[...]int{0, 4, 6, 8, 10}[k]:end])
		}
		return dst, true, nil
	}), nil
}
