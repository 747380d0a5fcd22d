<?php

declare(strict_types=1);

namespace Nivisco\Payments;

/**
 * Sends calls by HTTP, and again where that is safe and has a use.
 *
 * @internal
 */
final class Transport
{
    private const FIRST_PAUSE_SECONDS = 0.25;
    private const LONGEST_SECONDS = 86400.0;
    private const NUMBERS = '/"(?:[^"\\\\]++|\\\\.)*+"(*SKIP)(*FAIL)|-?\d++(?:\.\d++)?(?:[eE][+-]?\d++)?/s';

    /** Within a closure, so that no dump of any kind shows the key. */
    private \Closure $credentials;
    private string $url;
    private float $timeout;
    private int $maxAttempts;

    public function __construct(
        string $businessId,
        #[\SensitiveParameter]
        string $apiKey,
        string $url,
        float $timeout,
        int $maxAttempts,
        bool $allowPlainHttp
    ) {
        $parts = parse_url($url);
        $scheme = strtolower($parts['scheme'] ?? '');
        $host = strtolower(trim($parts['host'] ?? '', '[]'));
        if (!in_array($scheme, ['https', 'http'], true) || $host === '') {
            throw new \InvalidArgumentException('the base URL must be an https:// address');
        }
        if (isset($parts['user']) || isset($parts['pass'])) {
            throw new \InvalidArgumentException('the base URL must hold no user name or password');
        }
        if ($scheme === 'http' && !$allowPlainHttp && !self::isLoopback($host)) {
            throw new \InvalidArgumentException(
                'the base URL is plain http, which would show the API key to the network: '
                . 'use https, or allow_plain_http where the network is trusted'
            );
        }
        if ($timeout <= 0 || $timeout > self::LONGEST_SECONDS || $maxAttempts < 1) {
            throw new \InvalidArgumentException(
                'timeout must be above 0, at most a day, and max_attempts at least 1'
            );
        }
        $this->credentials = static fn (): array => [
            'business_id' => $businessId,
            'api_key' => $apiKey,
        ];
        $this->url = $url;
        $this->timeout = $timeout;
        $this->maxAttempts = $maxAttempts;
    }

    /** @return array<string, mixed> */
    public function __debugInfo(): array
    {
        return ['url' => $this->url];
    }

    /** @return array<string, mixed> */
    public function __serialize(): array
    {
        throw new \LogicException('a client holds an API key and is not serialized');
    }

    /**
     * @param array<string, mixed> $fields
     *
     * @return array<string, mixed> the body of a success; its numbers are texts
     *
     * @throws NiviscoException
     */
    public function call(
        string $action,
        #[\SensitiveParameter]
        array $fields,
        bool $mutates
    ): array {
        $deadline = microtime(true) + $this->timeout;
        $fields = array_filter($fields, static fn ($value): bool => $value !== null);
        if ($mutates) {
            $fields += ['idempotency_key' => bin2hex(random_bytes(16))];
        }
        self::refuseFloats($fields);
        $key = $fields['idempotency_key'] ?? null;
        for ($attempt = 1;; $attempt++) {
            try {
                return $this->attempt($action, $fields, $key, $deadline);
            } catch (NiviscoException $error) {
                $pause = self::pauseAfter($error, $attempt);
                if (
                    $pause === null
                    || $attempt >= $this->maxAttempts
                    || microtime(true) + $pause >= $deadline
                ) {
                    throw $error;
                }
                usleep((int) ($pause * 1e6));
            }
        }
    }

    /**
     * @param array<string, mixed> $fields
     *
     * @return array<string, mixed>
     */
    private function attempt(
        string $action,
        #[\SensitiveParameter]
        array $fields,
        ?string $key,
        float $deadline
    ): array {
        $envelope = ($this->credentials)() + ['action' => $action] + $fields;
        $headers = [];
        $curl = curl_init($this->url);
        curl_setopt_array($curl, [
            CURLOPT_POST => true,
            CURLOPT_POSTFIELDS => json_encode($envelope, JSON_THROW_ON_ERROR | JSON_UNESCAPED_SLASHES),
            CURLOPT_HTTPHEADER => ['Content-Type: application/json', 'Expect:'],
            CURLOPT_USERAGENT => 'nivisco-php/' . Version::VERSION,
            CURLOPT_RETURNTRANSFER => true,
            CURLOPT_FOLLOWLOCATION => false,
            CURLOPT_PROTOCOLS => CURLPROTO_HTTP | CURLPROTO_HTTPS,
            CURLOPT_TIMEOUT_MS => max(1, (int) (($deadline - microtime(true)) * 1000)),
            CURLOPT_NOSIGNAL => true,
            CURLOPT_HEADERFUNCTION => static function ($curl, string $line) use (&$headers): int {
                [$name, $value] = explode(':', $line, 2) + [1 => ''];
                $headers[strtolower(trim($name))] = trim($value);

                return strlen($line);
            },
        ]);
        if (stripos($this->url, 'http:') === 0) {
            curl_setopt($curl, CURLOPT_PROXY, ''); // a proxy would read the API key
        }
        $text = curl_exec($curl);
        $status = (int) curl_getinfo($curl, CURLINFO_RESPONSE_CODE);
        if (!is_string($text)) {
            throw new NoAnswerException('no answer came: ' . curl_error($curl), $action, $key);
        }

        return self::read($text, $status, $headers, $action, $key);
    }

    /**
     * @param array<string, string> $headers
     *
     * @return array<string, mixed>
     */
    private static function read(
        #[\SensitiveParameter]
        string $text,
        int $status,
        array $headers,
        string $action,
        ?string $key
    ): array {
        // json_decode would make floats of amounts: every number becomes the text that it is.
        $body = json_decode((string) preg_replace(self::NUMBERS, '"$0"', $text), true);
        if (!is_array($body) || !is_bool($body['success'] ?? null)) {
            if ($status < 300 || self::isWorthRepeating($status) || $status >= 500) {
                throw new NoAnswerException("the answer, HTTP $status, is not one of the API", $action, $key);
            }
            $body = []; // something before the API refused, and nothing came to it
        }
        if ($status >= 200 && $status < 300 && ($body['success'] ?? false)) {
            return $body;
        }
        $after = $headers['retry-after'] ?? '';
        $kind = $status === 402 ? DeclinedException::class : ApiException::class;
        throw new $kind(
            $action,
            $key,
            $status,
            $body,
            ctype_digit($after) ? (int) $after : null,
            $headers['x-request-id'] ?? null
        );
    }

    /** Seconds to wait before the next attempt, or null where that has no use. */
    private static function pauseAfter(NiviscoException $error, int $attempt): ?float
    {
        if ($error instanceof ApiException && !self::isWorthRepeating($error->getStatus())) {
            return null;
        }
        $longest = self::FIRST_PAUSE_SECONDS * 2 ** ($attempt - 1);
        $pause = $longest * random_int(500, 1000) / 1000;
        $after = $error instanceof ApiException ? $error->getRetryAfter() : null;

        return max($pause, (float) ($after ?? 0));
    }

    private static function isWorthRepeating(int $status): bool
    {
        return $status === 429 || ($status >= 500 && $status !== 501);
    }

    private static function isLoopback(string $host): bool
    {
        return $host === 'localhost'
            || $host === '::1'
            || (filter_var($host, FILTER_VALIDATE_IP, FILTER_FLAG_IPV4) && strpos($host, '127.') === 0);
    }

    /** @param mixed $value */
    private static function refuseFloats(
        #[\SensitiveParameter]
        $value
    ): void {
        if (is_float($value)) {
            throw new \InvalidArgumentException(
                "a float is not exact: give an amount as text, for example '25.50'"
            );
        }
        if (is_array($value)) {
            array_walk($value, static function ($each): void {
                self::refuseFloats($each);
            });
        }
    }
}
