<?php

declare(strict_types=1);

namespace Nivisco;

/**
 * Amounts and times of responses and requests.
 *
 * @internal
 */
final class Values
{
    private const USUAL_DECIMALS = 2;

    /**
     * Returns an amount with the decimals of the object's currency, and never fewer than it has.
     *
     * @param array<string, mixed> $body
     */
    public static function amount(array $body, string $name): string
    {
        $text = $body[$name];
        $currency = $body['currency'];
        if ($currency === null || preg_match('/^-?\d+(\.\d+)?$/D', $text) !== 1) {
            return $text;
        }
        [$whole, $decimals] = explode('.', $text) + [1 => ''];
        $decimals = str_pad($decimals, Currencies::DECIMALS[$currency] ?? self::USUAL_DECIMALS, '0');
        return $decimals === '' ? $whole : "$whole.$decimals";
    }

    /** Returns a time in UTC. */
    public static function moment(string $text): \DateTimeImmutable
    {
        $moment = \DateTimeImmutable::createFromFormat('!Y-m-d H:i:s', $text, new \DateTimeZone('UTC'));
        if ($moment === false) {
            throw new \TypeError('not a time');
        }
        return $moment;
    }

    /** Returns a time of a request. Without a fraction it stands for its whole second. */
    public static function written(\DateTimeInterface $moment): string
    {
        return $moment->format($moment->format('u') === '000000' ? 'Y-m-d\TH:i:sP' : 'Y-m-d\TH:i:s.uP');
    }
}
