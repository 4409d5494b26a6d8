// Command golden makes the histogram test vectors with VPA's own package.
//
// Inputs are drawn from a counter-based generator (splitmix64) that the Python test repeats, by operations that are
// exact in any language; the file holds only what VPA answered: percentiles, total weight, the first and last
// bucket, the reference time and a CRC-32 over the bits of every bucket's weight. `make golden-vpa` runs it.
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"hash/crc32"
	"log"
	"math"
	"os"
	"reflect"
	"time"

	"k8s.io/autoscaler/vertical-pod-autoscaler/pkg/recommender/model"
	"k8s.io/autoscaler/vertical-pod-autoscaler/pkg/recommender/util"
)

const (
	cases = 12000 // neighbours 2i and 2i+1 share a configuration and are merged at the end
	edges = 20000 // values within four floats of a bucket's edge, and elsewhere
	seed  = 0x706c696d736f6c6c
	gamma = 0x9e3779b97f4a7c15
)

var halfLives = []time.Duration{24 * time.Hour, 24 * time.Hour, 24 * time.Hour, 48 * time.Hour, 7 * time.Hour, time.Hour}

// draw is the value of slot `slot` of step `step` of case `item`.
func draw(item, step, slot uint64) uint64 {
	z := seed + gamma*(1+item*4096+step*16+slot)
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb
	return z ^ (z >> 31)
}

func fraction(bits uint64) float64 { return float64(bits>>11) / (1 << 53) }

// randomValue is log-uniform in steps of powers of two: no logarithm is needed to draw it.
func randomValue(bits uint64, memory bool) float64 {
	low, span := -10, uint64(22)
	if memory {
		low, span = 17, 25
	}
	return math.Ldexp(1+fraction(bits), low+int(bits%span))
}

func edgeValue(bits uint64, options util.HistogramOptions) float64 {
	bucket := 1 + int(bits%uint64(options.NumBuckets()-1))
	start := math.Float64bits(options.GetBucketStart(bucket))
	return math.Float64frombits(start + (bits>>32)%9 - 4)
}

func weight(bits uint64) float64 {
	switch kind := bits % 64; {
	case kind == 63:
		return 0
	case kind%8 < 4:
		return 1
	case kind%8 == 4:
		return 0.1
	case kind%8 == 5:
		return fraction(bits)
	case kind%8 == 6:
		return math.Ldexp(fraction(bits), -20)
	default:
		return fraction(bits) * 1024
	}
}

// stepTime moves the clock, in half seconds.
func stepTime(now int64, bits uint64) int64 {
	const day = 2 * 86400
	amount := bits >> 8
	switch kind := bits % 16; {
	case kind < 8:
		return now + int64(amount%14400)
	case kind < 12:
		return now + day
	case kind == 12:
		return now + int64(amount%(300*day))
	case kind < 15:
		return now - int64(amount%(20*day))
	default:
		return now + 1
	}
}

type sample struct {
	value, weight float64
	at            time.Time
}

func at(halves int64) time.Time { return time.Unix(0, halves*500_000_000).UTC() }

func run(item uint64, options util.HistogramOptions, memory bool, halfLife time.Duration) util.Histogram {
	h := util.NewDecayingHistogram(options, halfLife)
	now := int64(2 * (1_600_000_000 + draw(item, 0, 0)%200_000_000))
	var seen []sample
	for step := uint64(1); step <= 1+draw(item, 0, 1)%40; step++ {
		now = stepTime(now, draw(item, step, 0))
		s := sample{randomValue(draw(item, step, 2), memory), weight(draw(item, step, 3)), at(now)}
		kind := draw(item, step, 1) % 8
		if kind == 4 {
			s.value = edgeValue(draw(item, step, 2), options)
		}
		if (kind == 5 || kind == 6) && len(seen) > 0 {
			s = seen[draw(item, step, 4)%uint64(len(seen))]
		}
		if kind >= 5 {
			h.SubtractSample(s.value, s.weight, s.at)
		} else {
			h.AddSample(s.value, s.weight, s.at)
		}
		seen = append(seen, s)
	}
	return h
}

// out collects columns in little endian.
type out struct{ bytes.Buffer }

func (o *out) put(v any) {
	if err := binary.Write(&o.Buffer, binary.LittleEndian, v); err != nil {
		log.Fatal(err)
	}
}

// record writes what VPA's histogram holds: 6 float64, float64, int64, uint32, 2 uint8.
func record(o *out, h util.Histogram, level float64) {
	for _, p := range []float64{0, 0.5, 0.9, 0.95, 1, level} {
		o.put(h.Percentile(p))
	}
	inner := reflect.ValueOf(h).Elem().FieldByName("histogram")
	o.put(inner.FieldByName("totalWeight").Float())
	checkpoint, err := h.SaveToChekpoint()
	if err != nil {
		log.Fatal(err)
	}
	o.put(checkpoint.ReferenceTimestamp.Unix())
	weights := inner.FieldByName("bucketWeight")
	var bits out
	for i := 0; i < weights.Len(); i++ {
		bits.put(weights.Index(i).Float())
	}
	o.put(crc32.ChecksumIEEE(bits.Bytes()))
	o.put(uint8(inner.FieldByName("minBucket").Int()))
	o.put(uint8(inner.FieldByName("maxBucket").Int()))
}

func reload(h util.Histogram, options util.HistogramOptions, halfLife time.Duration) util.Histogram {
	checkpoint, err := h.SaveToChekpoint()
	if err != nil {
		log.Fatal(err)
	}
	loaded := util.NewDecayingHistogram(options, halfLife)
	if err := loaded.LoadFromCheckpoint(checkpoint); err != nil {
		log.Fatal(err)
	}
	return loaded
}

func writeBuckets(o *out, options util.HistogramOptions, memory bool, stream uint64) {
	o.put(uint32(options.NumBuckets()))
	for b := 0; b < options.NumBuckets(); b++ {
		o.put(options.GetBucketStart(b))
	}
	for i := uint64(0); i < edges; i++ {
		bits := draw(stream, i/16, i%16)
		value := randomValue(bits, memory)
		if i%4 != 0 {
			value = edgeValue(bits, options)
		}
		o.put(uint8(options.FindBucket(value)))
	}
}

func main() {
	config := model.GetAggregationsConfig()
	var o out
	o.WriteString("VPAGOLD1")
	o.put([2]uint32{cases, edges})
	// Streams far beyond the last case's number, so that no draw is used twice.
	writeBuckets(&o, config.MemoryHistogramOptions, true, 1<<32)
	writeBuckets(&o, config.CPUHistogramOptions, false, 1<<33)
	var direct, loaded, merged out
	for i := uint64(0); i < cases; i += 2 {
		memory, options := true, config.MemoryHistogramOptions
		if i%16 == 14 {
			memory, options = false, config.CPUHistogramOptions
		}
		halfLife := halfLives[(i/2)%uint64(len(halfLives))]
		pair := []util.Histogram{run(i, options, memory, halfLife), run(i+1, options, memory, halfLife)}
		for j, h := range pair {
			level := fraction(draw(i+uint64(j), 0, 2))
			record(&direct, h, level)
			record(&loaded, reload(h, options, halfLife), level)
		}
		pair[0].Merge(pair[1])
		record(&merged, pair[0], fraction(draw(i, 0, 2)))
	}
	o.Write(direct.Bytes())
	o.Write(loaded.Bytes())
	o.Write(merged.Bytes())
	z, _ := gzip.NewWriterLevel(os.Stdout, gzip.BestCompression)
	if _, err := z.Write(o.Bytes()); err != nil {
		log.Fatal(err)
	}
	if err := z.Close(); err != nil {
		log.Fatal(err)
	}
}
