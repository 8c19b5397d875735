package rest

import (
	"encoding/json"
	"math"
	"strconv"
)

// MarshalJSON implements json.Marshaler: numbers at three decimals, gaps as null.
func (s *Series) MarshalJSON() ([]byte, error) {
	type document struct {
		StepMS int64              `json:"stepMs"`
		Times  []int64            `json:"times"`
		Series map[string]numbers `json:"series"`
	}
	d := document{s.StepMS, s.Times, map[string]numbers{}}
	if d.Times == nil {
		d.Times = []int64{}
	}
	for name, v := range s.Values {
		d.Series[name] = v
	}
	return json.Marshal(d)
}

type numbers []float32

// MarshalJSON implements json.Marshaler.
func (n numbers) MarshalJSON() ([]byte, error) {
	out := append(make([]byte, 0, 8*len(n)+2), '[')
	for i, v := range n {
		if i > 0 {
			out = append(out, ',')
		}
		if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
			out = append(out, "null"...)
		} else {
			out = strconv.AppendFloat(out, math.Round(f*1000)/1000, 'f', -1, 64)
		}
	}
	return append(out, ']'), nil
}

// Ratio is x as documents have it: at three decimals, within 0 and 1.
func Ratio(x float64) *float64 { return new(math.Round(min(max(x, 0), 1)*1000) / 1000) }

// Rate is x as documents have it: at two decimals, not negative.
func Rate(x float64) *float64 { return new(math.Round(max(x, 0)*100) / 100) }
