// SPDX-License-Identifier: MIT
/*
 * Peer: Caffeine, in a process of its own that is asked for rounds (bench/foreign.h has the words).
 *
 * Its keys are Strings made beforehand, which remember their hash; a server that reads its keys from
 * a socket makes new ones. The process is a whole JVM: the first round, which is not counted, and
 * the warm-up here are for its compiler.
 */
import com.github.benmanes.caffeine.cache.Cache;
import com.github.benmanes.caffeine.cache.Caffeine;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Paths;

public final class CaffeinePeer {
    private static final int KEY_BYTES_MAX = 32;
    private static Cache<String, byte[]> cache;
    private static String[] steps;
    private static int[] numbers;

    private static ByteBuffer open(String path) throws Exception {
        try (FileChannel file = FileChannel.open(Paths.get(path))) {
            return file.map(FileChannel.MapMode.READ_ONLY, 0, file.size())
                .order(ByteOrder.LITTLE_ENDIAN);
        }
    }

    private static String readKey(ByteBuffer in, int[] retNumber) {
        byte[] key = new byte[KEY_BYTES_MAX];
        in.get(key);
        int len = in.getInt();
        retNumber[0] = in.getInt();
        return new String(key, 0, len, StandardCharsets.ISO_8859_1);
    }

    private static void fill(ByteBuffer in, int entries, int valueBytes) {
        int[] number = new int[1];
        cache = Caffeine.newBuilder().maximumSize(2L * entries).initialCapacity(entries).build();
        for (int i = 0; i < entries; i++) {
            byte[] value = new byte[valueBytes];
            String key = readKey(in, number);
            ByteBuffer.wrap(value).order(ByteOrder.LITTLE_ENDIAN).putLong(number[0] & 0xffffffffL);
            cache.put(key, value);
        }
    }

    /* Returns what differs from the values that should be there: 0. */
    private static long lookUp(long at, long count) {
        long wrong = 0;
        for (long n = 0; n < count; n++, at++) {
            int step = (int) (at & (steps.length - 1));
            byte[] value = cache.getIfPresent(steps[step]);
            if (value == null)
                return -1;
            wrong |= ((value[0] & 0xff) | (value[1] & 0xff) << 8 | (value[2] & 0xff) << 16
                | (value[3] & 0xff) << 24) ^ numbers[step];
        }
        return wrong;
    }

    private static String round(long at, long count, int threads) throws Exception {
        long[] cpu = new long[threads], wrong = new long[threads];
        Thread[] team = new Thread[threads];
        for (int t = 0; t < threads; t++) {
            int me = t;
            team[t] = new Thread(() -> {
                var clock = ManagementFactory.getThreadMXBean();
                long began = clock.getCurrentThreadCpuTime();
                wrong[me] = lookUp(at + (long) me * (steps.length / threads), count);
                cpu[me] = clock.getCurrentThreadCpuTime() - began;
            });
            team[t].start();
        }
        long all = 0, off = 0;
        for (int t = 0; t < threads; t++) {
            team[t].join();
            all += cpu[t];
            off |= wrong[t];
        }
        return all / threads + " " + off;
    }

    public static void main(String[] args) throws Exception {
        ByteBuffer in = open(args[0]);
        int entries = in.getInt(), valueBytes = in.getInt();
        steps = new String[in.getInt()];
        numbers = new int[steps.length];
        in.getInt();
        fill(in, entries, valueBytes);
        int[] number = new int[1];
        for (int i = 0; i < steps.length; i++) {
            steps[i] = readKey(in, number);
            numbers[i] = number[0];
        }
        for (int i = 0; i < 20; i++)
            lookUp(0, Math.min(1 << 17, steps.length));
        System.out.println("ready");
        var commands = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = commands.readLine()) != null;) {
            String[] words = line.split(" ");
            System.out.println(round(Long.parseLong(words[0]), Long.parseLong(words[1]),
                Integer.parseInt(words[2])));
        }
    }
}
