// SPDX-License-Identifier: MIT

// Peer: Ristretto, in a process of its own that is asked for rounds (bench/foreign.h has the words).
//
// A Set may be dropped, so it is filled until all are there. Keys are made beforehand.
package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/dgraph-io/ristretto"
)

const (
	keyBytesMax = 32
	stepBytes   = keyBytesMax + 8
	headBytes   = 16
	fillTries   = 1000
	threadOnly  = 1 // RUSAGE_THREAD
)

type step struct {
	key    string
	number uint32
}

var (
	cache *ristretto.Cache
	steps []step
)

func fail(why interface{}) {
	fmt.Fprintln(os.Stderr, "perf: ristretto:", why)
	os.Exit(2)
}

func readSteps(from []byte, count uint32) []step {
	all := make([]step, count)
	for i := range all {
		one := from[i*stepBytes : (i+1)*stepBytes]
		all[i].key = string(one[:binary.LittleEndian.Uint32(one[keyBytesMax:])])
		all[i].number = binary.LittleEndian.Uint32(one[keyBytesMax+4:])
	}
	return all
}

func fill(keys []step, valueBytes uint32) {
	var err error
	cache, err = ristretto.NewCache(&ristretto.Config{
		NumCounters: int64(10 * len(keys)), MaxCost: int64(2 * len(keys)), BufferItems: 64})
	if err != nil {
		fail(err)
	}
	missing := keys
	for try := 0; try < fillTries && len(missing) > 0; try++ {
		for _, k := range missing {
			value := make([]byte, valueBytes)
			binary.LittleEndian.PutUint64(value, uint64(k.number))
			cache.Set(k.key, value, 1)
		}
		time.Sleep(20 * time.Millisecond)
		var still []step
		for _, k := range missing {
			if _, found := cache.Get(k.key); !found {
				still = append(still, k)
			}
		}
		missing = still
	}
	if len(missing) > 0 {
		fail("it does not keep what it is given")
	}
}

// Returns what differs from the values that should be there: 0.
func lookUp(at uint64, count uint64) uint64 {
	var wrong uint64
	for n := uint64(0); n < count; n++ {
		s := &steps[(at+n)&uint64(len(steps)-1)]
		value, found := cache.Get(s.key)
		if !found {
			return ^uint64(0)
		}
		wrong |= binary.LittleEndian.Uint64(value.([]byte)) ^ uint64(s.number)
	}
	return wrong
}

func threadCPU() int64 {
	var used syscall.Rusage
	if syscall.Getrusage(threadOnly, &used) != nil {
		fail("getrusage")
	}
	return used.Utime.Nano() + used.Stime.Nano()
}

func round(at uint64, count uint64, threads int) (int64, uint64) {
	var team sync.WaitGroup
	cpu := make([]int64, threads)
	wrong := make([]uint64, threads)
	for t := 0; t < threads; t++ {
		team.Add(1)
		go func(me int) {
			runtime.LockOSThread()
			began := threadCPU()
			wrong[me] = lookUp(at+uint64(me*len(steps)/threads), count)
			cpu[me] = threadCPU() - began
			team.Done()
		}(t)
	}
	team.Wait()
	var all int64
	var off uint64
	for t := range cpu {
		all += cpu[t]
		off |= wrong[t]
	}
	return all / int64(threads), off
}

func main() {
	file, err := os.ReadFile(os.Args[1])
	if err != nil {
		fail(err)
	}
	entries := binary.LittleEndian.Uint32(file)
	keys := readSteps(file[headBytes:], entries)
	steps = readSteps(file[headBytes+int(entries)*stepBytes:], binary.LittleEndian.Uint32(file[8:]))
	fill(keys, binary.LittleEndian.Uint32(file[4:]))
	fmt.Println("ready")
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var at, count uint64
		var threads int
		if _, err := fmt.Sscan(in.Text(), &at, &count, &threads); err != nil {
			fail(err)
		}
		cpu, wrong := round(at, count, threads)
		fmt.Println(cpu, wrong)
	}
}
